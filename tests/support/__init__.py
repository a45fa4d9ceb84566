"""What the tests share: models, servers, journals and processes."""

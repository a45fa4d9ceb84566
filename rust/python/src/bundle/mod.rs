//! Bundles for Python. The files have the names of their Python modules in `python/plsync/bundle/`.

pub(crate) mod keys;

"""Settings of workspaces: the configuration file, the keys, and the paths of journals."""

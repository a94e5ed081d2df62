"""Where cores come from: the atlas's catalog and client, a mirror, a manifest, a phantom."""

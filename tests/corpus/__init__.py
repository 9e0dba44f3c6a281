"""libvirt's own domain documents, tuned in every way there is."""

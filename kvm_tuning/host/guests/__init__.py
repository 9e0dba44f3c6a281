"""What running guests have, and the settings that libvirt has no element for."""

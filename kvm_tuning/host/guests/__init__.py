"""What running guests have, and settings that libvirt has no element for."""

"""Any OpenStack cloud named in clouds.yaml as a lab."""

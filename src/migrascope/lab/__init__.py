"""Labs: instances on hosts, migrated by a policy and disturbed. contract.py says what each has to offer."""

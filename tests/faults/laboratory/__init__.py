"""What the tests of faults are made of: laboratories, proxies, namespaces, disks, and the record of findings."""

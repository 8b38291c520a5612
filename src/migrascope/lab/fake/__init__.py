"""The fake lab: no machine at all, in virtual time. Begin with lab.py: it is the smallest lab that a trial can use.

A world (world.py) is one guest and its migration after a script of known truths (script.py). The lab and its instances
are the contracts of lab/contract.py over worlds; the runtime (runtime.py) stands for this machine, and its programs
(programs.py, traffic.py) record what real ones would have seen of the world. Its clock (time.py) jumps from one timer
to the next, so that a trial of a minute takes a fraction of a second, and the same seed gives the same tables.

For tests, documents and plans in the making; every recording says lab "fake". Not modelled: STAMP, captures.
"""

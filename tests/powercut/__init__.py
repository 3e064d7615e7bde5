"""Power cuts and failing disks: the real store is made to fail in every way that can be had here.

A *workload* (``workload.py``) uses the real outbox in a process of its own and tells every promise
that the outbox gives it (``promises.py``). Then the power goes, or the process, or the disk; and
the *oracle* (``oracle.py``) opens what is left with the real outbox and judges whether the promises
were kept. *Negative controls* show that broken stores are found out.

``test_power_cuts``       a log of all writes (``writelog.c``), played back to any place
``test_second_cut``       ... and again while the store recovers
``test_killed_then_cut``  ... after a process has died in a storage call
``test_failed_sync``      ... after a commit could not be synced
``test_controls``         ... of stores that are unsafe on purpose
``test_loop_device``      the power of a real ext4 is cut under the running store
``test_kills``            kill -9
``test_nth_failure``      every storage call fails, once or for good
``test_strace``           the kernel refuses

``SCALE=20`` makes 1,000 played-back cuts of each model, ``SCALE=50`` 1,000 kills, ``SCALE=100``
1,000 cuts of the loop device.

What cannot be tested here: a card that acknowledges a flush that it did not do, and slow wear.
"""

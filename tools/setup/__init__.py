"""Set-up of ``.venv``, run as ``python3.11 -m tools.setup`` by the Makefile; standard library only.

It works step by step, each with a log of its own under ``.setup/log/``, notes each finished step
in ``.venv/setup/`` and skips it while its inputs stay the same. Killed at any point, the next run
goes on from there; mmcv's build goes on from the last file compiled.
"""

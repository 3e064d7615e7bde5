"""A disk like an SD card: 10 ms are added to every fsync and fdatasync of a process.

By a small library that is loaded in front of the C library; it needs a C compiler, nothing else.
"""

import shutil
import subprocess
from pathlib import Path

DELAY_MS = 10

_SOURCE = f"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>

static int slowly(const char *name, int descriptor)
{{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    struct timespec delay = {{0, {DELAY_MS} * 1000000L}};
    nanosleep(&delay, 0);
    return real(descriptor);
}}

int fsync(int descriptor) {{ return slowly("fsync", descriptor); }}
int fdatasync(int descriptor) {{ return slowly("fdatasync", descriptor); }}
"""


def why_not() -> str | None:
    """Why there is no slow disk here, or None."""
    return None if shutil.which("cc") else "there is no C compiler (cc)"


def slow_disk(directory: Path) -> dict[str, str]:
    """Build the library there; gives the environment that puts it under a process.

    Raises:
        subprocess.CalledProcessError: it could not be compiled.
    """
    source, library = directory / "slow.c", directory / "slow.so"
    source.write_text(_SOURCE)
    subprocess.run(
        ["cc", "-O1", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True
    )
    return {"LD_PRELOAD": str(library)}

"""Marks for tests that need a program of Debian; a missing one is said loudly."""

import shutil

import pytest


def needs(program: str, package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(
        shutil.which(program) is None, reason=f"NOT RUN: needs Debian package {package}"
    )

"""Bytes that mean harm: noise, and what a device says, spoilt in every way that a line can.

Seeded and quick, so that a million inputs take minutes and each can be made again.
"""

from collections.abc import Callable, Sequence
from random import Random

_Spoil = Callable[[Random, Sequence[bytes]], bytes]


def hostile(chance: Random, words: Sequence[bytes]) -> bytes:
    """One to four pieces in a row; ``words`` are whole frames or lines of the dialect."""
    pieces = chance.choices(_WAYS, k=chance.randrange(1, 5))
    return b"".join(spoil(chance, words) for spoil in pieces)


def chunks(chance: Random, data: bytes) -> Sequence[bytes]:
    """The same bytes as a port may give them: whole, one by one, or cut anywhere."""
    if chance.random() < 0.5:
        return (data,)
    if chance.random() < 0.1:
        return [data[at : at + 1] for at in range(len(data))]
    places = sorted(chance.randrange(len(data) + 1) for _ in range(chance.randrange(1, 6)))
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


def _noise(chance: Random, _words: Sequence[bytes]) -> bytes:
    return chance.randbytes(chance.randrange(60))


def _long_noise(chance: Random, _words: Sequence[bytes]) -> bytes:
    return chance.randbytes(chance.randrange(2_000))


def _alphabet(chance: Random, words: Sequence[bytes]) -> bytes:
    """Bytes that the dialect uses, delimiters above all, in no order."""
    word = chance.choice(words)
    return bytes(chance.choices(word + word[:1] + word[-1:], k=chance.randrange(1, 40)))


def _whole(chance: Random, words: Sequence[bytes]) -> bytes:
    return chance.choice(words)


def _doubled(chance: Random, words: Sequence[bytes]) -> bytes:
    return chance.choice(words) * 2


def _changed(chance: Random, words: Sequence[bytes]) -> bytes:
    word = bytearray(chance.choice(words))
    for _ in range(chance.randrange(1, 4)):
        word[chance.randrange(len(word))] = chance.randrange(256)
    return bytes(word)


def _one_bit(chance: Random, words: Sequence[bytes]) -> bytes:
    word = bytearray(chance.choice(words))
    word[chance.randrange(len(word))] ^= 1 << chance.randrange(8)
    return bytes(word)


def _cut(chance: Random, words: Sequence[bytes]) -> bytes:
    word = chance.choice(words)
    place = chance.randrange(len(word) + 1)
    return word[:place] if chance.random() < 0.5 else word[place:]


def _gap(chance: Random, words: Sequence[bytes]) -> bytes:
    word = chance.choice(words)
    place = chance.randrange(len(word))
    return word[:place] + word[place + chance.randrange(1, 4) :]


def _inserted(chance: Random, words: Sequence[bytes]) -> bytes:
    word = chance.choice(words)
    place = chance.randrange(len(word) + 1)
    return word[:place] + chance.randbytes(chance.randrange(1, 4)) + word[place:]


def _spliced(chance: Random, words: Sequence[bytes]) -> bytes:
    first, second = chance.choice(words), chance.choice(words)
    return first[: chance.randrange(len(first) + 1)] + second[chance.randrange(len(second) + 1) :]


_WAYS: tuple[_Spoil, ...] = (
    _noise, _long_noise, _alphabet, _alphabet, _whole, _doubled, _changed, _changed, _one_bit,
    _one_bit, _cut, _cut, _gap, _inserted, _spliced, _spliced,
)  # fmt: skip

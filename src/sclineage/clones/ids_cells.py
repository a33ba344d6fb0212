"""Compiled side of `ids`: BLAKE2b (RFC 7693, no key, 20 bytes) of many chains; of every digest the first 8 bytes."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

_CHAINS = 4096  # per task
_IV = np.array([0x6A09E667F3BCC908, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B, 0xA54FF53A5F1D36F1, 0x510E527FADE682D1,
                0x9B05688C2B3E6C1F, 0x1F83D9ABFB41BD6B, 0x5BE0CD19137E2179], np.uint64)
_ROUNDS = ("0123456789abcdef", "ea489fd61c02b753", "b8c052fdae367194", "7931dcbe265a40f8", "905724afe1bc683d",
           "2c6a0b834d75fe19", "c51fed4a0763928b", "db7ec13950f4862a", "6fe9b308c2d714a5", "a2847615fb9e3cd0")
_SIGMA = np.array([[int(digit, 16) for digit in row] for row in (*_ROUNDS, *_ROUNDS[:2])], np.int64)
_PARAMETERS = np.uint64(0x01010000 ^ 20)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


@njit(cache=True, parallel=True)
def heads(content, start, end, kind, genes, gene_ptr):  # type: ignore[no-untyped-def]
    """First 8 bytes (big-endian) of the digests of ``content[start:end]``, each followed by the genes of its kind.

    The genes of kind k are ``genes[gene_ptr[k]:gene_ptr[k + 1]]``. uint64 per chain.
    """
    n = start.size
    out = np.empty(n, np.uint64)
    for part in prange(-(-n // _CHAINS)):
        word, work, state = np.empty(16, np.uint64), np.empty(16, np.uint64), np.empty(8, np.uint64)
        for i in range(part * _CHAINS, min((part + 1) * _CHAINS, n)):
            out[i] = _head(content, start[i], end[i] - start[i], genes, gene_ptr[kind[i]],
                           gene_ptr[kind[i] + 1] - gene_ptr[kind[i]], word, work, state)
    return out


@njit(cache=True)
def _head(first, at, n_first, second, to, n_second, word, work, state):  # type: ignore[no-untyped-def]
    length, done = n_first + n_second, 0
    state[:] = _IV
    state[0] ^= _PARAMETERS
    while True:
        word[:] = np.uint64(0)
        stop = min(length, done + 128)
        for p in range(done, stop):
            letter = first[at + p] if p < n_first else second[to + p - n_first]
            word[(p - done) >> 3] |= np.uint64(letter) << np.uint64(8 * ((p - done) & 7))
        done = stop
        _compress(word, work, state, np.uint64(done), done == length)
        if done == length:
            break
    out = np.uint64(0)
    for byte in range(8):
        out = out << np.uint64(8) | ((state[0] >> np.uint64(8 * byte)) & np.uint64(255))
    return out


@njit(cache=True, forceinline=True)
def _compress(word, work, state, done, last):  # type: ignore[no-untyped-def]
    work[:8], work[8:] = state, _IV
    work[12] ^= done
    if last:
        work[14] ^= _ALL
    for r in range(12):
        for k in range(8):  # four columns, then four diagonals
            c = k & 3
            turn = k >> 2
            _mix(work, c, 4 + (c + turn & 3), 8 + (c + 2 * turn & 3), 12 + (c + 3 * turn & 3), word[_SIGMA[r, 2 * k]],
                 word[_SIGMA[r, 2 * k + 1]])
    for k in range(8):
        state[k] ^= work[k] ^ work[k + 8]


@njit(cache=True, forceinline=True)
def _mix(v, a, b, c, d, x, y):  # type: ignore[no-untyped-def]
    v[a] = v[a] + v[b] + x
    v[d] = _turned(v[d] ^ v[a], np.uint64(32))
    v[c] = v[c] + v[d]
    v[b] = _turned(v[b] ^ v[c], np.uint64(24))
    v[a] = v[a] + v[b] + y
    v[d] = _turned(v[d] ^ v[a], np.uint64(16))
    v[c] = v[c] + v[d]
    v[b] = _turned(v[b] ^ v[c], np.uint64(63))


@njit(cache=True, forceinline=True)
def _turned(x, n):  # type: ignore[no-untyped-def]
    return x >> n | x << (np.uint64(64) - n)

"""CTC prefix beam search of one utterance as a compiled loop; `kernels.ctc_beams` calls it. Needs Numba.

The same search as `frame_synchronous` without scorers (Graves & Jaitly 2014; Hannun et al. 2014), in scalar code: a
frame costs what its live hypotheses cost, where tensor operations cost their number. Nothing here approximates:

* The entries that stay (blank, or their label again) come first. Once they fill the beam, the least of them is a
  threshold that an extension must beat; labels below `threshold − best entry` are passed over in one scan.
* Labels are tried best first, so that an entry's extensions end with the first one below the threshold.
* An entry followed by K + 1 better labels has K better continuations, so no label beyond the K + 1 best can count
  (one more than K, because a repeated label carries only the mass after blank).
* The K best are found by partial selection whenever 2K were collected, which raises the threshold.
* Sequences are nodes of a trie, its edges in one hash table, so that a sequence that left the beam and comes back is
  the node it was.

Legend: T frames · V labels (EOS included) · W = V + 1 (blank last) · K beam. Masses are natural logs in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

_NOTHING = -37.0  # e⁻³⁷ is below half a unit in the last place of a float64 1
_HASH = np.uint64(0x9E3779B97F4A7C15)


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Machine code, kept beside this file or in the user's cache, where one of them can be written."""
    try:
        return njit(cache=True, nogil=True)(function)
    except RuntimeError:
        return njit(nogil=True)(function)


@_compiled
def _join(a, b, take_max):
    """log(eᵃ + eᵇ), or the larger one."""
    if a < b:
        a, b = b, a
    difference = b - a
    if take_max or not difference > _NOTHING:  # also where both are −inf
        return a
    return a + np.log1p(np.exp(difference))


@_compiled
def _select(keys, first, second, count, keep):
    """Quickselect: the `keep` largest of keys[:count] come first, in no order; `first` and `second` move along."""
    low, high = 0, count - 1
    while low < high:
        a, b, c = keys[low], keys[(low + high) // 2], keys[high]
        pivot = max(min(a, b), min(max(a, b), c))
        i, j = low, high
        while i <= j:
            while keys[i] > pivot:
                i += 1
            while keys[j] < pivot:
                j -= 1
            if i <= j:
                keys[i], keys[j] = keys[j], keys[i]
                first[i], first[j] = first[j], first[i]
                second[i], second[j] = second[j], second[i]
                i += 1
                j -= 1
        if keep - 1 <= j:
            high = j
        elif keep - 1 >= i:
            low = i
        else:
            return


@_compiled
def _sort(keys, first, count):
    """Shell sort, largest first; `first` moves along."""
    gap = 1
    while gap < count // 3:
        gap = 3 * gap + 1
    while gap > 0:
        for i in range(gap, count):
            key, value, j = keys[i], first[i], i
            while j >= gap and keys[j - gap] < key:
                keys[j], first[j] = keys[j - gap], first[j - gap]
                j -= gap
            keys[j], first[j] = key, value
        gap //= 3


@_compiled
def _place(edges, node, label, width):
    """Where the edge (node, label) stands in the hash table, or the free place where it would stand."""
    key = node * width + label
    mask = len(edges) - 1
    at = np.int64((np.uint64(key) * _HASH) >> np.uint64(32)) & mask
    while edges[at, 0] != key and edges[at, 0] >= 0:
        at = (at + 1) & mask
    return at


@_compiled
def _grown(trie, edges, width):
    """Trie and hash table of twice the size."""
    larger = np.empty((2 * len(trie), 3), np.int64)
    larger[: len(trie)] = trie
    table = np.full((2 * len(edges), 2), -1, np.int64)
    for at in range(len(edges)):
        key = edges[at, 0]
        if key >= 0:
            table[_place(table, key // width, key % width, width)] = edges[at]
    return larger, table


@_compiled
def search(frames_TW, banned_V, beam, candidates, nbest, take_max, skip):
    """One utterance. frames_TW: float32 log-softmax, blank last; banned_V: labels that are never emitted.

    candidates: so many best labels of a frame may extend an entry; skip: none where log p(blank) ≥ this.
    Returns of the at most `nbest` best entries, best first: masses, where each one's labels end, and the labels of all
    of them one after the other.
    """
    frames, width = frames_TW.shape
    blank = width - 1
    limit = min(candidates, beam + 1)

    # Of a node: its parent, its label, and its slot in the beam or −1. Node 0 is the empty sequence.
    trie = np.empty((max(1024, 2 * beam), 3), np.int64)
    edges = np.full((2 * 2 ** int(np.ceil(np.log2(len(trie)))), 2), -1, np.int64)
    trie[0] = -1
    trie[0, 2] = 0
    nodes = 1

    # Of an entry: node, mass of alignments ending in blank, in its label, and of both.
    node_K, new_node_K = np.zeros(beam, np.int64), np.zeros(beam, np.int64)
    blank_K, label_K, total_K = np.full(beam, -np.inf), np.full(beam, -np.inf), np.full(beam, -np.inf)
    stay_blank_K, stay_label_K = np.empty(beam), np.empty(beam)
    new_blank_K, new_label_K = np.empty(beam), np.empty(beam)
    blank_K[0] = total_K[0] = 0.0
    live = 1

    # What competes for the next beam: its mass, the slot it comes from, and the label it gains (−1: none).
    mass_X, slot_X, gain_X = np.empty(2 * beam), np.empty(2 * beam, np.int64), np.empty(2 * beam, np.int64)
    score_V, choice_V, spare_V = np.empty(width), np.empty(width, np.int64), np.empty(width, np.int64)

    for t in range(frames):
        y_W = frames_TW[t]
        count, best, threshold = 0, -np.inf, np.inf
        for k in range(live):
            node = node_K[k]
            last = trie[node, 1]
            stay_blank_K[k] = total_K[k] + y_W[blank]
            stay_label_K[k] = -np.inf
            if last >= 0:
                mass = label_K[k]
                slot = trie[trie[node, 0], 2]
                if slot >= 0:  # the parent is in the beam: followed by the last label, it is this entry
                    repeated = trie[trie[node, 0], 1] == last
                    mass = _join(mass, blank_K[slot] if repeated else total_K[slot], take_max)
                stay_label_K[k] = mass + y_W[last]
            mass = _join(stay_blank_K[k], stay_label_K[k], take_max)
            best = max(best, total_K[k])
            if mass > -np.inf:
                threshold = min(threshold, mass)
                mass_X[count], slot_X[count], gain_X[count] = mass, k, -1
                count += 1
        if count < beam:
            threshold = -np.inf

        labels, floor = 0, threshold - best
        for c in range(blank if y_W[blank] < skip else 0):
            if y_W[c] > floor and not banned_V[c]:
                score_V[labels], choice_V[labels] = y_W[c], c
                labels += 1
        if labels > limit:
            _select(score_V, choice_V, spare_V, labels, limit)
            labels = limit
        _sort(score_V, choice_V, labels)

        for k in range(live):
            node = node_K[k]
            last = trie[node, 1]
            for j in range(labels):
                mass = total_K[k] + score_V[j]
                if mass <= threshold:
                    break
                c = choice_V[j]
                if c == last:
                    mass = blank_K[k] + score_V[j]
                    if mass <= threshold:
                        continue
                at = _place(edges, node, c, width)
                if edges[at, 0] >= 0 and trie[edges[at, 1], 2] >= 0:
                    continue  # in the beam already, and given this mass above
                if count == 2 * beam:
                    _select(mass_X, slot_X, gain_X, count, beam)
                    count = beam
                    threshold = mass_X[:beam].min()
                    if mass <= threshold:
                        if c == last:  # without the mass of its label; the next one may have more
                            continue
                        break
                mass_X[count], slot_X[count], gain_X[count] = mass, k, c
                count += 1
        if count > beam:
            _select(mass_X, slot_X, gain_X, count, beam)
            count = beam

        while nodes + beam > len(trie):
            trie, edges = _grown(trie, edges, width)
        for k in range(live):
            trie[node_K[k], 2] = -1
        for i in range(count):
            k, c = slot_X[i], gain_X[i]
            if c < 0:
                new_node_K[i], new_blank_K[i], new_label_K[i] = node_K[k], stay_blank_K[k], stay_label_K[k]
                continue
            new_blank_K[i], new_label_K[i] = -np.inf, mass_X[i]
            at = _place(edges, node_K[k], c, width)
            if edges[at, 0] < 0:
                edges[at, 0], edges[at, 1] = node_K[k] * width + c, nodes
                trie[nodes, 0], trie[nodes, 1] = node_K[k], c
                nodes += 1
            new_node_K[i] = edges[at, 1]
        live = count
        total_K[:live] = mass_X[:live]
        node_K, new_node_K = new_node_K, node_K
        blank_K, new_blank_K = new_blank_K, blank_K
        label_K, new_label_K = new_label_K, label_K
        for k in range(live):
            trie[node_K[k], 2] = k

    _sort(total_K, node_K, live)
    found = min(nbest, live)
    ends = np.zeros(found, np.int64)
    total = 0
    for i in range(found):
        node = node_K[i]
        while node > 0:
            total += 1
            node = trie[node, 0]
        ends[i] = total
    labels_N = np.empty(total, np.int64)
    for i in range(found):
        node, at = node_K[i], ends[i] - 1
        while node > 0:
            labels_N[at] = trie[node, 1]
            at -= 1
            node = trie[node, 0]
    return total_K[:found].copy(), ends, labels_N

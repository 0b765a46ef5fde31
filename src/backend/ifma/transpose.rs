//! Moves between the two layouts: numbers one per row, and limb-major vectors with one limb of eight numbers each. Also reads tables, one entry per lane.
#![expect(unsafe_code, reason = "calls into functions compiled for AVX-512, and a gathering load")]

use std::arch::x86_64::{
    __m512i, _MM_HINT_T0, _mm_prefetch, _mm512_add_epi64, _mm512_cmpeq_epi64_mask, _mm512_i64gather_epi64, _mm512_mask_mov_epi64, _mm512_set_epi64,
    _mm512_set1_epi64, _mm512_setzero_si512, _mm512_shuffle_i64x2, _mm512_unpackhi_epi64, _mm512_unpacklo_epi64,
};

use super::kernel::{LANES, Line, Token, load, store};

/// Eight rows side by side: limb i of row l goes to lane l of `vectors[i]`. All rows have `vectors.len() / 8` lines.
///
/// Moves words only, so any contents are valid. Time depends on the lengths only; the addresses are those of the rows.
pub(super) fn gather(token: Token, rows: [&[Line]; LANES], vectors: &mut [Line]) {
    let _ = token;
    // SAFETY: the token proves that the processor has AVX-512F.
    unsafe { gather_rows(rows, vectors) }
}

/// The reverse of [`gather`]: lane l of `vectors` goes to the row that starts at line `starts[l]` of `lines`; at most eight rows.
pub(super) fn scatter(token: Token, vectors: &[Line], lines: &mut [Line], starts: &[usize]) {
    let _ = token;
    // SAFETY: the token proves that the processor has AVX-512F.
    unsafe { scatter_rows(vectors, lines, starts) }
}

/// Asks for a row to be brought to the nearest cache. Changes nothing else.
pub(super) fn prefetch(row: &[Line]) {
    for line in row {
        // SAFETY: a prefetch touches no memory that the program sees and cannot fault; SSE is part of x86_64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(line).cast()) };
    }
}

/// Adds `row` to `sum` word by word, modulo 2^64. Both have the same length. Time depends on the length only.
pub(super) fn add(token: Token, sum: &mut [Line], row: &[Line]) {
    let _ = token;
    // SAFETY: the token proves that the processor has AVX-512F.
    unsafe { add_lines(sum, row) }
}

/// Lane l of `picked` = lane l of entry `digits[l]` of a limb-major table with entries of `picked.len()` vectors.
///
/// Reads all entries in order: time and addresses depend on the lengths only. A digit past the last entry picks zero.
pub(super) fn scan(token: Token, table: &[Line], digits: Line, picked: &mut [Line]) {
    let _ = token;
    // SAFETY: the token proves that the processor has AVX-512F.
    unsafe { scan_table(table, digits, picked) }
}

/// As [`scan`], but reads only the entries that are picked: the addresses show the digits.
pub(super) fn pick_vartime(token: Token, table: &[Line], digits: Line, picked: &mut [Line]) {
    let _ = token;
    // SAFETY: the token proves that the processor has AVX-512F.
    unsafe { pick_entries(table, digits, picked) }
}

#[target_feature(enable = "avx512f")]
fn gather_rows(rows: [&[Line]; LANES], vectors: &mut [Line]) {
    let (vectors, rest) = vectors.as_chunks_mut::<LANES>();
    let rows = rows.map(|row| &row[..vectors.len()]);
    assert!(rest.is_empty());
    for (i, block) in vectors.iter_mut().enumerate() {
        let [r0, r1, r2, r3, r4, r5, r6, r7] = &rows;
        let loaded = [load(&r0[i]), load(&r1[i]), load(&r2[i]), load(&r3[i]), load(&r4[i]), load(&r5[i]), load(&r6[i]), load(&r7[i])];
        let columns = transpose(loaded);
        for (line, column) in block.iter_mut().zip(columns) {
            store(line, column);
        }
    }
}

#[target_feature(enable = "avx512f")]
fn add_lines(sum: &mut [Line], row: &[Line]) {
    for (sum, line) in sum.iter_mut().zip(row) {
        let total = _mm512_add_epi64(load(sum), load(line));
        store(sum, total);
    }
}

#[target_feature(enable = "avx512f")]
fn scatter_rows(vectors: &[Line], lines: &mut [Line], starts: &[usize]) {
    let (vectors, rest) = vectors.as_chunks::<LANES>();
    assert!(rest.is_empty());
    for (i, [v0, v1, v2, v3, v4, v5, v6, v7]) in vectors.iter().enumerate() {
        let columns = [load(v0), load(v1), load(v2), load(v3), load(v4), load(v5), load(v6), load(v7)];
        for (&start, row) in starts.iter().zip(transpose(columns)) {
            store(&mut lines[start + i], row);
        }
    }
}

/// Word j of vector i to word i of vector j.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose(rows: [__m512i; LANES]) -> [__m512i; LANES] {
    let [r0, r1, r2, r3, r4, r5, r6, r7] = rows;
    // Pairs of rows, word by word: even words, odd words.
    let (even01, odd01) = (_mm512_unpacklo_epi64(r0, r1), _mm512_unpackhi_epi64(r0, r1));
    let (even23, odd23) = (_mm512_unpacklo_epi64(r2, r3), _mm512_unpackhi_epi64(r2, r3));
    let (even45, odd45) = (_mm512_unpacklo_epi64(r4, r5), _mm512_unpackhi_epi64(r4, r5));
    let (even67, odd67) = (_mm512_unpacklo_epi64(r6, r7), _mm512_unpackhi_epi64(r6, r7));
    // Four rows: 0x88 takes 128-bit pieces 0 and 2 of both, 0xdd pieces 1 and 3.
    let (c04, c26) = (_mm512_shuffle_i64x2::<0x88>(even01, even23), _mm512_shuffle_i64x2::<0xdd>(even01, even23));
    let (c15, c37) = (_mm512_shuffle_i64x2::<0x88>(odd01, odd23), _mm512_shuffle_i64x2::<0xdd>(odd01, odd23));
    let (d04, d26) = (_mm512_shuffle_i64x2::<0x88>(even45, even67), _mm512_shuffle_i64x2::<0xdd>(even45, even67));
    let (d15, d37) = (_mm512_shuffle_i64x2::<0x88>(odd45, odd67), _mm512_shuffle_i64x2::<0xdd>(odd45, odd67));
    [
        _mm512_shuffle_i64x2::<0x88>(c04, d04),
        _mm512_shuffle_i64x2::<0x88>(c15, d15),
        _mm512_shuffle_i64x2::<0x88>(c26, d26),
        _mm512_shuffle_i64x2::<0x88>(c37, d37),
        _mm512_shuffle_i64x2::<0xdd>(c04, d04),
        _mm512_shuffle_i64x2::<0xdd>(c15, d15),
        _mm512_shuffle_i64x2::<0xdd>(c26, d26),
        _mm512_shuffle_i64x2::<0xdd>(c37, d37),
    ]
}

#[target_feature(enable = "avx512f")]
fn scan_table(table: &[Line], digits: Line, picked: &mut [Line]) {
    let width = picked.len();
    let digits = load(&digits);
    // Groups of vectors stay in registers while the entries pass by.
    for (group, picked) in picked.chunks_mut(LANES).enumerate() {
        let mut found = [_mm512_setzero_si512(); LANES];
        for (number, entry) in (0i64..).zip(table.chunks_exact(width)) {
            let here = _mm512_cmpeq_epi64_mask(digits, _mm512_set1_epi64(number));
            for (found, line) in found.iter_mut().zip(&entry[group * LANES..]) {
                *found = _mm512_mask_mov_epi64(*found, here, load(line));
            }
        }
        for (line, found) in picked.iter_mut().zip(found) {
            store(line, found);
        }
    }
}

#[target_feature(enable = "avx512f")]
fn pick_entries(table: &[Line], digits: Line, picked: &mut [Line]) {
    let width = picked.len();
    let entries = table.len() / width.max(1);
    assert!(digits.0.iter().all(|&digit| (digit as usize) < entries));
    // Word numbers in the table: of the entry, and of the lane inside a line.
    let at = digits.0.map(|digit| (digit as usize * width * LANES).cast_signed() as i64);
    let mut words = _mm512_set_epi64(at[7] + 7, at[6] + 6, at[5] + 5, at[4] + 4, at[3] + 3, at[2] + 2, at[1] + 1, at[0]);
    for line in picked {
        // SAFETY: word `digit * 8 width + 8 i + lane` lies in the table, as digit < entries, i < width, lane < 8.
        store(line, unsafe { _mm512_i64gather_epi64::<8>(words, table.as_ptr().cast()) });
        words = _mm512_add_epi64(words, _mm512_set1_epi64(LANES.cast_signed() as i64));
    }
}

//! The multiply-add kernel: one pass of Montgomery reduction over a sum of products, eight lanes wide.
//!
//! A pass walks the columns of the product in blocks of [`TILE`]. Everything that a block adds up lives in 18 named accumulators: `l0..=l8` take the low
//! halves of limb products, `h1..=h9` the high halves (column j of the block is `lj + hj`). Two sets instead of one keep every accumulator's chain of
//! additions shorter than the issue time of a tile on processors that start two multiply-adds per cycle. The derivation is in `ifma.md`.
#![expect(unsafe_code, reason = "vector loads and stores, and calls into functions compiled for AVX-512")]

use std::arch::x86_64::{
    __m512i, _MM_HINT_T0, _MM_HINT_T1, _mm_prefetch, _mm512_add_epi64, _mm512_and_si512, _mm512_cmpge_epu64_mask, _mm512_load_si512,
    _mm512_madd52hi_epu64, _mm512_madd52lo_epu64, _mm512_mask_add_epi64, _mm512_set1_epi64, _mm512_setzero_si512, _mm512_srli_epi64,
    _mm512_store_si512,
};

/// Limbs of a block.
pub(super) const TILE: usize = 5;
/// Bits of a limb.
pub(super) const RADIX_BITS: usize = 52;
/// Largest limb.
pub(super) const LIMB_MASK: u64 = (1 << RADIX_BITS) - 1;
/// Numbers that are computed side by side.
pub(super) const LANES: usize = 8;

/// Eight words of one cache line: one limb of eight numbers (limb-major), or eight limbs of one number (a piece of a row).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
pub(super) struct Line(pub(super) [u64; LANES]);

impl zeroize::DefaultIsZeroes for Line {}

/// [`TILE`] limbs of eight numbers.
pub(super) type Block = [Line; TILE];

/// [`TILE`] limbs of one number that is the same for all lanes.
pub(super) type Shared = [u64; TILE];

/// Proof that this processor has the instructions. Only [`Token::detect`] makes one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token(());

impl Token {
    /// Asks the processor (and the system, for the wide registers).
    pub(super) fn detect() -> Option<Self> {
        (std::is_x86_feature_detected!("avx512f") && std::is_x86_feature_detected!("avx512ifma")).then_some(Self(()))
    }
}

/// Reads one vector.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load(line: &Line) -> __m512i {
    // SAFETY: a `Line` is 64 bytes, aligned to 64, and initialised.
    unsafe { _mm512_load_si512(std::ptr::from_ref(line).cast()) }
}

/// Writes one vector.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn store(line: &mut Line, value: __m512i) {
    // SAFETY: a `Line` is 64 bytes, aligned to 64, and borrowed for writing.
    unsafe { _mm512_store_si512(std::ptr::from_mut(line).cast(), value) }
}

/// Rows that will be needed soon. A pass asks for one of each list in each block: all at once would stall, as a core has few requests under way.
#[derive(Default)]
pub(super) struct Ahead<'a> {
    /// To be brought to the second-level cache.
    pub(super) far: &'a [&'a [Line]],
    /// Then, as they are there, to the first.
    pub(super) near: &'a [&'a [Line]],
}

impl Ahead<'_> {
    #[inline]
    fn step(&mut self) {
        prefetch_first::<_MM_HINT_T1>(&mut self.far);
        prefetch_first::<_MM_HINT_T0>(&mut self.near);
    }
}

/// Asks for the first row and takes it off the list. Whole rows, as all have one length: a processor learns how often the loop runs.
#[inline]
fn prefetch_first<const HINT: i32>(rows: &mut &[&[Line]]) {
    if let Some((row, rest)) = rows.split_first() {
        for line in *row {
            // SAFETY: a prefetch touches no memory that the program sees and cannot fault; SSE is part of x86_64.
            unsafe { _mm_prefetch::<HINT>(std::ptr::from_ref(line).cast()) };
        }
        *rows = rest;
    }
}

/// What a pass reduces modulo N, with the limb blocks of N and -1/N mod 2^52.
#[derive(Clone, Copy)]
pub(super) struct Reduction<'a> {
    /// N, the same for all lanes.
    pub(super) modulus: &'a [Shared],
    /// -1/N mod 2^52.
    pub(super) minus_inverse: u64,
}

/// The sum that a pass reduces. All factors are non-negative with limbs below 2^52, of as many blocks as the modulus.
#[derive(Clone, Copy)]
enum Sum<'a> {
    /// a b
    Product(&'a [Block], &'a [Block]),
    /// a a, given a and 2a.
    Square(&'a [Block], &'a [Block]),
    /// a b + m
    ProductMore(&'a [Block], &'a [Block], &'a [Block]),
    /// a b + c d + m
    CrossMore([&'a [Block]; 4], &'a [Block]),
    /// a b + c d; after the reduction m is added, and the last number where m >= R/2.
    CrossAbove([&'a [Block]; 4], &'a [Block], &'a [Shared]),
    /// m
    Only(&'a [Block]),
}

/// `out` = a b / R mod N, with `quotient` such that a b + `quotient` N = R `out`, in every lane.
///
/// Input: a, b < 3N with limbs below 2^52; R = 2^(52 * limbs) >= 16 N. Output: below 1.57 N, limbs below 2^52; the quotient below R.
/// Time depends on the number of limbs only. Source: Montgomery 1985, product scanning; ranges proven in `ifma.md`.
pub(super) fn mul(token: Token, by: Reduction<'_>, out: &mut [Line], quotient: &mut [Line], a: &[Line], b: &[Line], ahead: &mut Ahead<'_>) {
    let _ = token;
    // SAFETY: the token proves that the processor has the features of `pass`.
    unsafe { sized::<PRODUCT>(by, blocks_mut(out), blocks_mut(quotient), Sum::Product(blocks(a), blocks(b)), ahead) }
}

/// As [`mul`] with a = b. `twice` receives 2a and must not be assumed unchanged.
pub(super) fn sqr(token: Token, by: Reduction<'_>, out: &mut [Line], quotient: &mut [Line], a: &[Line], twice: &mut [Line]) {
    let _ = token;
    // SAFETY: the token proves that the processor has the features of `double` and `pass`.
    unsafe {
        double(twice, a);
        sized::<SQUARE>(by, blocks_mut(out), blocks_mut(quotient), Sum::Square(blocks(a), blocks(twice)), &mut Ahead::default());
    }
}

/// `out` = (a b + m) / R mod N in every lane; `work` is overwritten.
///
/// Input: a b <= 1.5 N R, m < R. Output: below 3N. Time and source as [`mul`].
pub(super) fn mul_more(token: Token, by: Reduction<'_>, out: &mut [Line], work: &mut [Line], [a, b]: [&[Line]; 2], m: &[Line]) {
    let _ = token;
    // SAFETY: the token proves that the processor has the features of `pass`.
    unsafe { sized::<PRODUCT_MORE>(by, blocks_mut(out), blocks_mut(work), Sum::ProductMore(blocks(a), blocks(b), blocks(m)), &mut Ahead::default()) }
}

/// `out` = (a b + c d + m) / R mod N in every lane; `work` is overwritten.
///
/// Input: a, b, c, d < 3N, m < R. Output: below 3N. Time and source as [`mul`].
pub(super) fn cross_more(token: Token, by: Reduction<'_>, out: &mut [Line], work: &mut [Line], factors: [&[Line]; 4], m: &[Line]) {
    let _ = token;
    // SAFETY: the token proves that the processor has the features of `pass`.
    unsafe { sized::<CROSS_MORE>(by, blocks_mut(out), blocks_mut(work), Sum::CrossMore(factors.map(blocks), blocks(m)), &mut Ahead::default()) }
}

/// `out` = (a b + c d) / R + m mod N in every lane, where m is first made smaller by R - `complement` if it is at least R/2; `work` is overwritten.
///
/// Input: a, d < 3N; b, c, m < R; `complement` = R - K, limb blocks, with K the largest multiple of N up to R/2. Output: below R. Time and source as [`mul`].
pub(super) fn cross_above(
    token: Token,
    by: Reduction<'_>,
    out: &mut [Line],
    work: &mut [Line],
    factors: [&[Line]; 4],
    (m, complement): (&[Line], &[Shared]),
    ahead: &mut Ahead<'_>,
) {
    let _ = token;
    // SAFETY: the token proves that the processor has the features of `pass`.
    unsafe { sized::<CROSS_ABOVE>(by, blocks_mut(out), blocks_mut(work), Sum::CrossAbove(factors.map(blocks), blocks(m), complement), ahead) }
}

/// `out` = m / R mod N, with `quotient` as in [`mul`].
///
/// Input: limbs of m below 2^60, m < 2R. Output: at most N + 1. Time and source as [`mul`].
pub(super) fn reduce(token: Token, by: Reduction<'_>, out: &mut [Line], quotient: &mut [Line], m: &[Line]) {
    let _ = token;
    // SAFETY: the token proves that the processor has the features of `pass`.
    unsafe { sized::<ONLY>(by, blocks_mut(out), blocks_mut(quotient), Sum::Only(blocks(m)), &mut Ahead::default()) }
}

fn blocks(lines: &[Line]) -> &[Block] {
    lines.as_chunks().0
}

fn blocks_mut(lines: &mut [Line]) -> &mut [Block] {
    lines.as_chunks_mut().0
}

/// `twice` = 2 `a` with limbs below 2^52. Input: a < R/2. Time depends on the number of limbs only.
#[target_feature(enable = "avx512f,avx512ifma")]
fn double(twice: &mut [Line], a: &[Line]) {
    let mut below = _mm512_setzero_si512();
    for (twice, a) in twice.iter_mut().zip(a) {
        let limb = load(a);
        let sum = _mm512_add_epi64(_mm512_add_epi64(limb, limb), _mm512_srli_epi64::<51>(below));
        store(twice, sum);
        below = limb;
    }
}

const PRODUCT: u8 = 0;
const SQUARE: u8 = 1;
const PRODUCT_MORE: u8 = 2;
const CROSS_MORE: u8 = 3;
const ONLY: u8 = 4;
const CROSS_ABOVE: u8 = 5;

/// The pass for its number of blocks.
#[target_feature(enable = "avx512f,avx512ifma")]
fn sized<const KIND: u8>(by: Reduction<'_>, out: &mut [Block], quotient: &mut [Block], sum: Sum<'_>, ahead: &mut Ahead<'_>) {
    if by.modulus.len() == UNROLLED {
        pass::<KIND, UNROLLED>(by, out, quotient, sum, ahead);
    } else {
        pass::<KIND, 0>(by, out, quotient, sum, ahead);
    }
}

/// Blocks of the passes that are compiled without loops: those of 1024-bit moduli, which encryption and decryption under 2048-bit keys are made of. Their loops
/// would run one to four times, and each start and end of a loop costs cycles.
const UNROLLED: usize = 4;

/// The pass: `out` = (sum + quotient N) / R. `KIND` repeats the variant of `sum`, so that each kind is compiled on its own.
///
/// Block c holds the columns 5c..5c+5 and collects the next five on the way. In the lower half of the columns its limbs give five limbs of the quotient,
/// in the upper half they are the result. The tile (quotient block c) x (modulus block 0) straddles two blocks: `lower` is the part that block c itself
/// needs, `upper` is left to block c + 1, where it no longer waits for the chain of quotient limbs. `SIZE` is [`UNROLLED`], or 0 for any number of blocks.
#[inline(never)]
#[expect(unused_assignments, reason = "nothing follows the last block's move to the next one")]
#[target_feature(enable = "avx512f,avx512ifma")]
fn pass<const KIND: u8, const SIZE: usize>(by: Reduction<'_>, out: &mut [Block], quotient: &mut [Block], sum: Sum<'_>, ahead: &mut Ahead<'_>) {
    let size = by.modulus.len();
    let modulus = by.modulus;
    type Pair<'a> = [&'a [Block]; 2];
    let (first, second, more, complement): (Pair<'_>, Pair<'_>, &[Block], &[Shared]) = match sum {
        Sum::Product(a, b) | Sum::Square(a, b) => ([a, b], [a, b], &[], &[]),
        Sum::ProductMore(a, b, m) => ([a, b], [a, b], m, &[]),
        Sum::CrossMore([a, b, c, d], m) => ([a, b], [c, d], m, &[]),
        Sum::CrossAbove([a, b, c, d], m, complement) => ([a, b], [c, d], m, complement),
        Sum::Only(m) => ([m, m], [m, m], m, &[]),
    };
    let two_products = KIND == CROSS_MORE || KIND == CROSS_ABOVE;
    let adds_more = KIND == PRODUCT_MORE || KIND == CROSS_MORE || KIND == ONLY;
    let adds_above = KIND == CROSS_ABOVE;
    let looks_ahead = KIND == PRODUCT || KIND == CROSS_ABOVE;
    let operands = [first[0], first[1], second[0], second[1]];
    assert!(
        size > 0 && (SIZE == 0 || size == SIZE) && out.len() == size && quotient.len() == size && operands.iter().all(|blocks| blocks.len() == size)
    );
    assert!(more.len() == if adds_more || adds_above { size } else { 0 });
    assert!(complement.len() == if adds_above { size } else { 0 });

    let zero = _mm512_setzero_si512();
    let minus_inverse = _mm512_set1_epi64(by.minus_inverse.cast_signed());
    let mask = _mm512_set1_epi64(LIMB_MASK.cast_signed());
    let (mut l0, mut l1, mut l2, mut l3, mut l4, mut l5, mut l6, mut l7, mut l8) = (zero, zero, zero, zero, zero, zero, zero, zero, zero);
    let (mut h1, mut h2, mut h3, mut h4, mut h5, mut h6, mut h7, mut h8, mut h9) = (zero, zero, zero, zero, zero, zero, zero, zero, zero);
    // Column 0 of the block: high halves that the block before has added there, and its carry.
    let mut h0 = zero;
    let mut carry;

    /// The low or the high half of x times y, added to a column.
    macro_rules! add {
        (low $column:ident, $x:expr, $y:expr) => {
            $column = _mm512_madd52lo_epu64($column, $x, $y)
        };
        (high $column:ident, $x:expr, $y:expr) => {
            $column = _mm512_madd52hi_epu64($column, $x, $y)
        };
    }
    /// Five limbs x times one limb y (the last one times `$last`) into five neighbouring columns.
    macro_rules! row {
        ($x0:ident $x1:ident $x2:ident $x3:ident $x4:ident, $y:expr, $last:expr; $l0:ident $l1:ident $l2:ident $l3:ident $l4:ident; $h1:ident $h2:ident $h3:ident $h4:ident $h5:ident) => {
            add!(low $l0, $x0, $y);
            add!(low $l1, $x1, $y);
            add!(low $l2, $x2, $y);
            add!(low $l3, $x3, $y);
            add!(low $l4, $x4, $last);
            add!(high $h1, $x0, $y);
            add!(high $h2, $x1, $y);
            add!(high $h3, $x2, $y);
            add!(high $h4, $x3, $y);
            add!(high $h5, $x4, $last);
        };
    }
    /// Block x times block y: 25 limb products, 50 multiply-adds. `$corner` stands in for y0 where it meets x4.
    macro_rules! tile {
        ($x:expr, $read:ident $y:expr, $corner:expr) => {
            let (x, y) = ($x, $y);
            let (x0, x1, x2, x3, x4) = (load(&x[0]), load(&x[1]), load(&x[2]), load(&x[3]), load(&x[4]));
            let limb = $read(&y[0]);
            let corner = $corner.unwrap_or(limb);
            row!(x0 x1 x2 x3 x4, limb, corner; l0 l1 l2 l3 l4; h1 h2 h3 h4 h5);
            let limb = $read(&y[1]);
            row!(x0 x1 x2 x3 x4, limb, limb; l1 l2 l3 l4 l5; h2 h3 h4 h5 h6);
            let limb = $read(&y[2]);
            row!(x0 x1 x2 x3 x4, limb, limb; l2 l3 l4 l5 l6; h3 h4 h5 h6 h7);
            let limb = $read(&y[3]);
            row!(x0 x1 x2 x3 x4, limb, limb; l3 l4 l5 l6 l7; h4 h5 h6 h7 h8);
            let limb = $read(&y[4]);
            row!(x0 x1 x2 x3 x4, limb, limb; l4 l5 l6 l7 l8; h5 h6 h7 h8 h9);
        };
    }
    /// Block x times itself, 30 multiply-adds. `$d` is the same block of 2x; a limb next to x's own is doubled here, without the carry that x's own limb
    /// has put into it there.
    macro_rules! diagonal {
        ($x:expr, $d:expr) => {
            let (x, d) = ($x, $d);
            let (x0, x1, x2, x3, x4) = (load(&x[0]), load(&x[1]), load(&x[2]), load(&x[3]), load(&x[4]));
            let (d2, d3, d4) = (load(&d[2]), load(&d[3]), load(&d[4]));
            let (e1, e2) = (_mm512_add_epi64(x1, x1), _mm512_add_epi64(x2, x2));
            let (e3, e4) = (_mm512_add_epi64(x3, x3), _mm512_add_epi64(x4, x4));
            add!(low l0, x0, x0);
            add!(low l2, x1, x1);
            add!(low l4, x2, x2);
            add!(low l6, x3, x3);
            add!(low l8, x4, x4);
            add!(high h1, x0, x0);
            add!(high h3, x1, x1);
            add!(high h5, x2, x2);
            add!(high h7, x3, x3);
            add!(high h9, x4, x4);
            add!(low l1, x0, e1);
            add!(low l3, x1, e2);
            add!(low l5, x2, e3);
            add!(low l7, x3, e4);
            add!(high h2, x0, e1);
            add!(high h4, x1, e2);
            add!(high h6, x2, e3);
            add!(high h8, x3, e4);
            add!(low l2, x0, d2);
            add!(low l4, x1, d3);
            add!(low l6, x2, d4);
            add!(high h3, x0, d2);
            add!(high h5, x1, d3);
            add!(high h7, x2, d4);
            add!(low l3, x0, d3);
            add!(low l5, x1, d4);
            add!(high h4, x0, d3);
            add!(high h6, x1, d4);
            add!(low l4, x0, d4);
            add!(high h5, x0, d4);
        };
    }
    /// One quotient limb q from a column: its low half times the modulus clears the column, so that the carry is the column over 2^52, rounded up.
    macro_rules! quotient_limb {
        ($column:expr => $q:ident, $store:expr) => {
            let column = $column;
            let $q = _mm512_madd52lo_epu64(zero, column, minus_inverse);
            carry = _mm512_srli_epi64::<52>(_mm512_add_epi64(column, mask));
            store($store, $q);
        };
    }
    /// One result limb.
    macro_rules! result_limb {
        ($column:expr => $store:expr) => {
            let column = $column;
            store($store, _mm512_and_si512(column, mask));
            carry = _mm512_srli_epi64::<52>(column);
        };
    }

    /// All tiles of one product or reduction in a block: pairs of blocks, one list ascending, the other one descending.
    macro_rules! tiles {
        ($x:expr, $read:ident $y:expr) => {
            for (x, y) in $x.iter().zip($y.iter().rev()) {
                tile!(x, $read y, None);
            }
        };
    }
    /// The tiles of a square in block c, from block `$from` on; blocks `$from` and `c - $from` are in range.
    macro_rules! square_tiles {
        ($from:expr, $c:expr) => {
            let (from, c) = ($from, $c);
            let [a, twice] = first;
            let half = c / 2;
            tiles!(a[from..half], load twice[c - half + 1..=c - from]);
            if c % 2 == 0 {
                diagonal!(&a[half], &twice[half]);
            } else {
                let next = load(&a[half + 1][0]);
                tile!(&a[half], load & twice[half + 1], Some(_mm512_add_epi64(next, next)));
            }
        };
    }
    /// The part of (quotient block) x (modulus block 0) that reaches into the block after the quotient's.
    macro_rules! upper {
        ($q:expr) => {
            let (q, n) = ($q, &modulus[0]);
            let (q0, q1, q2, q3, q4) = (load(&q[0]), load(&q[1]), load(&q[2]), load(&q[3]), load(&q[4]));
            let (n0, n1, n2, n3, n4) = (broadcast(&n[0]), broadcast(&n[1]), broadcast(&n[2]), broadcast(&n[3]), broadcast(&n[4]));
            add!(low l0, q4, n1);
            add!(low l1, q4, n2);
            add!(low l2, q4, n3);
            add!(low l3, q4, n4);
            add!(high h0, q4, n0);
            add!(high h1, q4, n1);
            add!(high h2, q4, n2);
            add!(high h3, q4, n3);
            add!(high h4, q4, n4);
            add!(low l0, q3, n2);
            add!(low l1, q3, n3);
            add!(low l2, q3, n4);
            add!(high h0, q3, n1);
            add!(high h1, q3, n2);
            add!(high h2, q3, n3);
            add!(high h3, q3, n4);
            add!(low l0, q2, n3);
            add!(low l1, q2, n4);
            add!(high h0, q2, n2);
            add!(high h1, q2, n3);
            add!(high h2, q2, n4);
            add!(low l0, q1, n4);
            add!(high h0, q1, n3);
            add!(high h1, q1, n4);
            add!(high h0, q0, n4);
        };
    }
    /// On to the next block: the upper five columns become the lower ones.
    macro_rules! shift {
        () => {
            (l0, l1, l2, l3, l4, l5, l6, l7, l8) = (l5, l6, l7, l8, zero, zero, zero, zero, zero);
            (h0, h1, h2, h3, h4, h5, h6, h7, h8, h9) = (_mm512_add_epi64(h5, carry), h6, h7, h8, h9, zero, zero, zero, zero, zero);
        };
    }

    // The lanes whose m is at least R/2, by the top bit of its top limb.
    let large = match more.last() {
        Some([.., top]) if adds_above => _mm512_cmpge_epu64_mask(load(top), _mm512_set1_epi64(1 << (RADIX_BITS - 1))),
        _ => 0,
    };
    /// Adds a limb of m to a column, and one of the complement where m is large.
    macro_rules! above {
        ($column:ident, $m:ident, $k:expr) => {
            $column = _mm512_add_epi64($column, load($m));
            $column = _mm512_mask_add_epi64($column, large, $column, broadcast($k));
        };
    }
    /// Block c of the lower half, given what adds up its tiles.
    macro_rules! lower {
        ($c:expr, $tiles:block) => {
            if looks_ahead {
                ahead.step();
            }
            if adds_more && let Some([m0, m1, m2, m3, m4]) = more.get($c + 1) {
                (h5, h6, h7, h8, h9) = (load(m0), load(m1), load(m2), load(m3), load(m4));
            }
            $tiles
            if $c > 0 {
                upper!(&quotient[$c - 1]);
            }
            let n = &modulus[0];
            let (n0, n1, n2, n3, n4) = (broadcast(&n[0]), broadcast(&n[1]), broadcast(&n[2]), broadcast(&n[3]), broadcast(&n[4]));
            let [s0, s1, s2, s3, s4] = &mut quotient[$c];
            quotient_limb!(_mm512_add_epi64(l0, h0) => q, s0);
            l1 = _mm512_add_epi64(l1, carry);
            add!(low l1, q, n1);
            add!(high h1, q, n0);
            add!(low l2, q, n2);
            add!(high h2, q, n1);
            add!(low l3, q, n3);
            add!(high h3, q, n2);
            add!(low l4, q, n4);
            add!(high h4, q, n3);
            quotient_limb!(_mm512_add_epi64(l1, h1) => q, s1);
            l2 = _mm512_add_epi64(l2, carry);
            add!(low l2, q, n1);
            add!(high h2, q, n0);
            add!(low l3, q, n2);
            add!(high h3, q, n1);
            add!(low l4, q, n3);
            add!(high h4, q, n2);
            quotient_limb!(_mm512_add_epi64(l2, h2) => q, s2);
            l3 = _mm512_add_epi64(l3, carry);
            add!(low l3, q, n1);
            add!(high h3, q, n0);
            add!(low l4, q, n2);
            add!(high h4, q, n1);
            quotient_limb!(_mm512_add_epi64(l3, h3) => q, s3);
            l4 = _mm512_add_epi64(l4, carry);
            add!(low l4, q, n1);
            add!(high h4, q, n0);
            quotient_limb!(_mm512_add_epi64(l4, h4) => _q, s4);
            shift!();
        };
    }
    /// Block c of the upper half.
    macro_rules! result {
        ($c:expr, $tiles:block) => {
            if looks_ahead {
                ahead.step();
            }
            if adds_above {
                let ([m0, m1, m2, m3, m4], k) = (&more[$c], &complement[$c]);
                above!(l0, m0, &k[0]);
                above!(l1, m1, &k[1]);
                above!(l2, m2, &k[2]);
                above!(l3, m3, &k[3]);
                above!(l4, m4, &k[4]);
            }
            $tiles
            if $c == 0 {
                upper!(&quotient[size - 1]);
            }
            let [s0, s1, s2, s3, s4] = &mut out[$c];
            result_limb!(_mm512_add_epi64(l0, h0) => s0);
            result_limb!(_mm512_add_epi64(_mm512_add_epi64(l1, h1), carry) => s1);
            result_limb!(_mm512_add_epi64(_mm512_add_epi64(l2, h2), carry) => s2);
            result_limb!(_mm512_add_epi64(_mm512_add_epi64(l3, h3), carry) => s3);
            result_limb!(_mm512_add_epi64(_mm512_add_epi64(l4, h4), carry) => s4);
            shift!();
        };
    }
    /// Keeps a tile in one piece: without loops the compiler would mix tiles and hold more than there are registers.
    macro_rules! fence {
        () => {
            // SAFETY: no instruction: the registers that are named keep their values, and memory and flags stay as they are.
            unsafe {
                std::arch::asm!(
                    "/* {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} */",
                    inout(zmm_reg) l0, inout(zmm_reg) l1, inout(zmm_reg) l2, inout(zmm_reg) l3, inout(zmm_reg) l4,
                    inout(zmm_reg) l5, inout(zmm_reg) l6, inout(zmm_reg) l7, inout(zmm_reg) l8,
                    inout(zmm_reg) h0, inout(zmm_reg) h1, inout(zmm_reg) h2, inout(zmm_reg) h3, inout(zmm_reg) h4,
                    inout(zmm_reg) h5, inout(zmm_reg) h6, inout(zmm_reg) h7, inout(zmm_reg) h8, inout(zmm_reg) h9,
                    options(nostack, preserves_flags)
                );
            }
        };
    }
    /// One tile of the sum in a pass without loops: blocks i and j of its factors, those of a square once for both orders.
    macro_rules! at {
        ($i:literal $j:literal) => {
            if KIND == SQUARE {
                let [a, twice] = first;
                if $i == $j {
                    diagonal!(&a[$i], &twice[$i]);
                } else if $i + 1 == $j {
                    let next = load(&a[$j][0]);
                    tile!(&a[$i], load & twice[$j], Some(_mm512_add_epi64(next, next)));
                } else if $i < $j {
                    tile!(&a[$i], load & twice[$j], None);
                }
            } else if KIND != ONLY {
                tile!(&first[0][$i], load & first[1][$j], None);
                if two_products {
                    tile!(&second[0][$i], load & second[1][$j], None);
                }
            }
        };
    }
    /// Block i of the quotient times block j of the modulus.
    macro_rules! cancel {
        ($i:literal $j:literal) => {
            tile!(&quotient[$i], broadcast & modulus[$j], None)
        };
    }
    /// The tiles of a block: those of the sum, and those of the reduction.
    macro_rules! blocks {
        ($($i:literal $j:literal),*; $($q:literal $n:literal),*) => {{
            $(at!($i $j); fence!();)*
            $(cancel!($q $n); fence!();)*
        }};
    }

    if adds_more && let Some([m0, m1, m2, m3, m4]) = more.first() {
        (l0, l1, l2, l3, l4) = (load(m0), load(m1), load(m2), load(m3), load(m4));
    }
    if SIZE == UNROLLED {
        lower!(0, { blocks!(0 0;) });
        lower!(1, { blocks!(0 1, 1 0; 0 1) });
        lower!(2, { blocks!(0 2, 1 1, 2 0; 0 2, 1 1) });
        lower!(3, { blocks!(0 3, 1 2, 2 1, 3 0; 0 3, 1 2, 2 1) });
    } else {
        for c in 0..size {
            lower!(c, {
                if KIND == SQUARE {
                    square_tiles!(0, c);
                } else if KIND != ONLY {
                    tiles!(first[0][..=c], load first[1][..=c]);
                }
                if two_products {
                    tiles!(second[0][..=c], load second[1][..=c]);
                }
                tiles!(quotient[..c], broadcast modulus[1..=c]);
            });
        }
    }
    if SIZE == UNROLLED {
        result!(0, { blocks!(1 3, 2 2, 3 1; 1 3, 2 2, 3 1) });
        result!(1, { blocks!(2 3, 3 2; 2 3, 3 2) });
        result!(2, { blocks!(3 3; 3 3) });
        result!(3, {});
    } else {
        for c in 0..size {
            result!(c, {
                // The last block has no tiles of its own, only what the one before has left.
                if c + 1 < size {
                    if KIND == SQUARE {
                        square_tiles!(c + 1, c + size);
                    } else if KIND != ONLY {
                        tiles!(first[0][c + 1..], load first[1][c + 1..]);
                    }
                    if two_products {
                        tiles!(second[0][c + 1..], load second[1][c + 1..]);
                    }
                    tiles!(quotient[c + 1..], broadcast modulus[c + 1..]);
                }
            });
        }
    }
}

/// Turns R `high` - `low` >= 0 into its limbs, those below R in `low`, in every lane. Input and output: limbs below 2^52. Time depends on the lengths only.
pub(super) fn settle(token: Token, low: &mut [Line], high: &mut [Line]) {
    let _ = token;
    // SAFETY: the token proves that the processor has AVX-512F.
    unsafe { settle_lanes(low, high) }
}

/// `x` = `n` - `x` + `more` >= 0 in every lane, all of one length with limbs below 2^52. Time depends on the length only.
pub(super) fn subtract_from(token: Token, n: &[u64], x: &mut [Line], more: Line) {
    let _ = token;
    // SAFETY: the token proves that the processor has AVX-512F.
    unsafe { subtract_from_lanes(n, x, more) }
}

/// Takes `n` off `x` in the lanes where `x` is not below it, and says which with 1. All of one length with limbs below 2^52; time depends on the length only.
pub(super) fn subtract_once(token: Token, x: &mut [Line], n: &[u64]) -> Line {
    let _ = token;
    // SAFETY: the token proves that the processor has AVX-512F.
    unsafe { subtract_once_lanes(x, n) }
}

#[target_feature(enable = "avx512f")]
fn settle_lanes(low: &mut [Line], high: &mut [Line]) {
    let mut borrow = [0; LANES];
    for line in low {
        for (limb, borrow) in line.0.iter_mut().zip(&mut borrow) {
            let rest = 0u64.wrapping_sub(*limb).wrapping_sub(*borrow);
            (*limb, *borrow) = (rest & LIMB_MASK, rest >> 63);
        }
    }
    for line in high {
        for (limb, borrow) in line.0.iter_mut().zip(&mut borrow) {
            let rest = limb.wrapping_sub(*borrow);
            (*limb, *borrow) = (rest & LIMB_MASK, rest >> 63);
        }
    }
}

#[target_feature(enable = "avx512f")]
fn subtract_from_lanes(n: &[u64], x: &mut [Line], more: Line) {
    assert!(n.len() == x.len());
    let mut carry = more.0.map(u64::cast_signed);
    for (line, &n) in x.iter_mut().zip(n) {
        for (limb, carry) in line.0.iter_mut().zip(&mut carry) {
            let rest = n.cast_signed() - limb.cast_signed() + *carry;
            (*limb, *carry) = (rest.cast_unsigned() & LIMB_MASK, rest >> RADIX_BITS);
        }
    }
}

#[target_feature(enable = "avx512f")]
fn subtract_once_lanes(x: &mut [Line], n: &[u64]) -> Line {
    assert!(n.len() == x.len());
    let mut below = [0; LANES];
    for (line, &n) in x.iter().zip(n) {
        for (&limb, below) in line.0.iter().zip(&mut below) {
            *below = limb.wrapping_sub(n).wrapping_sub(*below) >> 63;
        }
    }
    let mut borrow = [0; LANES];
    for (line, &n) in x.iter_mut().zip(n) {
        for ((limb, borrow), below) in line.0.iter_mut().zip(&mut borrow).zip(below) {
            let rest = limb.wrapping_sub(n & below.wrapping_sub(1)).wrapping_sub(*borrow);
            (*limb, *borrow) = (rest & LIMB_MASK, rest >> 63);
        }
    }
    Line(below.map(|below| 1 - below))
}

/// One limb of the modulus in every lane.
#[inline]
#[target_feature(enable = "avx512f")]
fn broadcast(limb: &u64) -> __m512i {
    _mm512_set1_epi64(limb.cast_signed())
}

/// Issues `count` independent multiply-adds, up to 19 fewer, and does nothing with them: the bound that the kernels are measured against.
pub(super) fn multiply_adds(token: Token, count: usize) {
    let _ = token;
    // SAFETY: the token proves that the processor has the features of `issue`.
    unsafe { issue(count / 20) }
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn issue(rounds: usize) {
    let mut columns = [_mm512_setzero_si512(); 20];
    let x = std::hint::black_box(_mm512_set1_epi64(3));
    for _ in 0..rounds {
        for column in &mut columns {
            *column = _mm512_madd52lo_epu64(*column, x, x);
        }
    }
    std::hint::black_box(columns);
}

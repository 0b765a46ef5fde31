// A residue is HALVES halves of S limbs of W bits: base-n digits x0 and x1, or one half for a modulus without known root.
// T lanes share a number; lane l holds limbs l L to l L + L - 1. In memory limb l L + j stands at word j T + l, so that neighbouring lanes read neighbours.
const T: u32 = {{T}}u;
const L: u32 = {{L}}u;
const W: u32 = {{W}}u;
const HALVES: u32 = {{HALVES}}u;
const GROUP: u32 = {{GROUP}}u;
const S: u32 = T * L;
const ROW: u32 = HALVES * S;

// What holds a limb, and what sums products of limbs.
alias Limb = {{LIMB}};
alias Wide = {{WIDE}};
const MASK: Limb = {{MASK}};
// Room in an accumulator for three products of L limbs each, and their carries; see gpu.md.
const_assert 3u * L < (1u << {{ROOM}}u);
const_assert GROUP % T == 0u;

// Counts and strides of a dispatch; the entry points say which they read.
struct Params {
    count: u32,
    items: u32,
    first: u32,
    steps: u32,
    inputs: u32,
    slots: u32,
    windows: u32,
    entries: u32,
    input_base: u32,
    slot_base: u32,
    table_base: u32,
    together: u32,
    first_item: u32,
    per_modulus: u32,
    constant_rows: u32,
    table_rows: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> code: array<u32>;
// For each modulus its S limbs, then -1/n mod 2^W.
@group(0) @binding(2) var<storage, read> constants: array<Limb>;
@group(0) @binding(3) var<storage, read> inputs: array<Limb>;
@group(0) @binding(4) var<storage, read> table: array<Limb>;
@group(0) @binding(5) var<storage, read> digits: array<u32>;
@group(0) @binding(6) var<storage, read_write> slots: array<Limb>;

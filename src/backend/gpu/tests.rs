//! The kernels, their mirrors, limits and failures. That the backend gives the oracle's bits is tested by `conformance` and the vectors.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "a test ends at the first error")]

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use super::adapter::{Gpu, variants};
use super::bytecode::{Code, Kind, Piece, Place, Step, pieces};
use super::clock::Busy;
use super::device::{Adapter, Bindings, Context, Dispatch, Params, View, Work, adapters, choose};
use super::engine::Engine;
use super::fma_selftest::{is_fused, split};
use super::generate::{Entry, GROUP, module};
use super::mirror::{self, Memory};
use super::montgomery_form::MontgomeryForm;
use super::multipliers::Multipliers;
use super::residues::GpuResidues;
use super::shape::{Arithmetic, Communication, MAX_LIMBS, ROOM_BITS, Shape, Variant};
use super::spot_check::times;
use crate::backend::{BackendId, Digits, Exponents, Lookup, Residues, Secrecy, open};
use crate::control::Control;
use crate::error::Error;
use crate::integer::Integer;
use crate::limbs::Limbs;
use crate::modulus::Modulus;
use crate::plan::fixed_base::FixedBase;
use crate::plan::{Op, Program};
use crate::randomness::{Purpose, Stream, Tape};

const U64: Variant = Variant { arithmetic: Arithmetic::U64, communication: Communication::Subgroup };
const U32: Variant = Variant { arithmetic: Arithmetic::U32, communication: Communication::Workgroup };
const F64: Variant = Variant { arithmetic: Arithmetic::F64, communication: Communication::Subgroup };

fn stream() -> Stream {
    Tape::replayable(4).stream(Purpose::Sample, 0)
}

fn all_ones(bits: u32) -> Integer {
    (Integer::from(1) << bits) - 1u32
}

/// The adapter of this machine, which `REQUIRE_GPU=1` insists on; None, and a word about it, where there is none.
fn gpu_with(variant: Variant) -> Option<Gpu> {
    match Gpu::open(None, Some(variant.name()), &Control::default()) {
        Ok(gpu) => Some(gpu),
        Err(error) => {
            assert!(std::env::var_os("REQUIRE_GPU").is_none(), "REQUIRE_GPU is set, but {error}");
            println!("skipped: {error}");
            None
        }
    }
}

/// One device for the tests that only compute on it, so that kernels are compiled once.
fn gpu() -> Option<&'static Gpu> {
    static SHARED: OnceLock<Option<Gpu>> = OnceLock::new();
    SHARED.get_or_init(|| gpu_with(U64)).as_ref()
}

/// The shapes of all key sizes, of both halves of decryption and of small moduli, in every variant, for subgroups of 4, 8 and 32.
fn every_shape() -> Vec<Shape> {
    let mut shapes = Vec::new();
    for variant in Variant::ALL {
        for bits in [64u32, 256, 512, 1024, 1536, 2048, 3072, 4096] {
            for team in if variant.communication == Communication::Subgroup { vec![4, 8, 32] } else { vec![GROUP] } {
                for modulus in [Modulus::new(all_ones(bits)).unwrap(), Modulus::square(all_ones(bits)).unwrap()] {
                    shapes.extend(Shape::candidates(variant, &modulus, team));
                }
            }
        }
    }
    let squares: Vec<Shape> = shapes.iter().map(|shape| shape.with_squares()).filter(|shape| shape.squares).collect();
    shapes.extend(squares);
    shapes.sort_by_key(|s| (s.variant, s.lanes, s.limbs, s.halves, s.squares));
    shapes.dedup();
    shapes
}

#[test]
fn every_module_of_every_key_size_is_valid() {
    let mut modules = 0;
    for shape in every_shape() {
        for entry in Entry::ALL {
            if entry == Entry::Fused && shape.variant.arithmetic != Arithmetic::F64 {
                continue;
            }
            let text = module(entry, &shape);
            let parsed = wgpu::naga::front::wgsl::parse_str(&text).unwrap_or_else(|e| panic!("{shape} {entry:?}: {}", e.emit_to_string(&text)));
            let flags = wgpu::naga::valid::ValidationFlags::all();
            // The portable variant must do without every extension.
            let capabilities = if shape.variant == U32 { wgpu::naga::valid::Capabilities::empty() } else { wgpu::naga::valid::Capabilities::all() };
            let mut validator = wgpu::naga::valid::Validator::new(flags, capabilities);
            validator.validate(&parsed).unwrap_or_else(|e| panic!("{shape} {entry:?}: {}", e.emit_to_string(&text)));
            modules += 1;
        }
    }
    assert!(modules > 200, "{modules}");
}

/// Browsers refuse a barrier below a condition that hangs on storage; naga does not look.
#[test]
fn the_portable_modules_branch_by_what_a_workgroup_agrees_on() {
    for shape in every_shape().into_iter().filter(|shape| shape.variant == U32 && shape.squares) {
        for entry in [Entry::Machine, Entry::Lookup, Entry::Scan] {
            assert!(module(entry, &shape).contains("let shared_kind = workgroupUniformLoad(&first_kind);"), "{shape} {entry:?}");
        }
    }
}

#[test]
fn a_broken_module_is_refused() {
    let shape = Shape { variant: U64, lanes: 4, limbs: MAX_LIMBS + 1, halves: 2, squares: false };
    let text = module(Entry::Machine, &shape);
    let parsed = wgpu::naga::front::wgsl::parse_str(&text);
    assert!(parsed.is_err(), "an accumulator without room for its products must not compile");
}

#[test]
fn shapes_have_room_for_every_modulus() {
    for variant in Variant::ALL {
        for bits in 2..=4200u32 {
            for team in [8, 32] {
                let modulus = Modulus::square(all_ones(bits)).unwrap();
                let shapes = Shape::candidates(variant, &modulus, team);
                let needed = (bits + ROOM_BITS).div_ceil(variant.arithmetic.bits());
                assert!(!shapes.is_empty() || needed > team * MAX_LIMBS, "{variant} {bits} {team}");
                for shape in shapes {
                    assert!(shape.bits() * shape.half() as u32 >= bits + ROOM_BITS && shape.lanes <= team && shape.limbs <= MAX_LIMBS);
                    assert!(3 * u64::from(shape.limbs) < 1 << shape.variant.arithmetic.room());
                }
            }
        }
    }
}

/// The moduli as the kernels read them.
fn constants(forms: &[&MontgomeryForm]) -> Vec<u32> {
    let mut words = Vec::new();
    forms.iter().for_each(|form| form.put_modulus(&mut words));
    words
}

/// Two-factor products of edge operands, as the machine takes them.
struct Products {
    form: MontgomeryForm,
    memory: Memory,
    pairs: usize,
}

/// Moduli that fill a shape: all ones and random ones at its limit (R/16), and two of other sizes.
fn edge_moduli(shape: &Shape, stream: &mut Stream) -> Vec<Integer> {
    let most = shape.bits() * shape.half() as u32 - ROOM_BITS;
    let odd = |mut n: Integer, bits: u32| {
        n.set_bit(bits - 1, true).set_bit(0, true);
        n
    };
    vec![
        all_ones(most),
        odd(stream.bits(most), most),
        all_ones(most - 7),
        (Integer::from(1) << (most - 2)) + 1u32,
        odd(stream.bits(most - 40), most - 40),
    ]
}

impl Products {
    /// All pairs of operands at the ends of their ranges, x0 < 2n and x1 < 3n, with redundant limbs among them.
    fn edges(n: &Integer, shape: Shape, stream: &mut Stream) -> Self {
        let modulus = if shape.halves == 2 { Modulus::square(n.clone()) } else { Modulus::new(n.clone()) }.unwrap();
        let form = MontgomeryForm::new(modulus, shape);
        let limits = [Integer::from(n * 2u32), Integer::from(n * 3u32)];
        // Every limb all ones and each lane's lowest one more than that, as far as the range allows.
        let redundant = |limit: &Integer| -> Vec<u32> {
            let mut limbs = vec![shape.mask(); shape.half()];
            (1..shape.lanes as usize).for_each(|lane| limbs[lane * shape.limbs as usize] = 1 << shape.bits());
            let value = |limbs: &[u64]| limbs.iter().rev().fold(Integer::new(), |sum, &limb| (sum << shape.bits()) + limb);
            for limb in (0..limbs.len()).rev() {
                if value(&limbs) < *limit {
                    break;
                }
                limbs[limb] = 0;
            }
            let mut words = vec![0; shape.half() * shape.variant.arithmetic.limb_words()];
            for (limb, value) in limbs.into_iter().enumerate() {
                let place = limb % shape.limbs as usize * shape.lanes as usize + limb / shape.limbs as usize;
                match shape.variant.arithmetic.limb_words() {
                    1 => words[place] = value as u32,
                    _ => words[2 * place..2 * place + 2].copy_from_slice(&[value as u32, (value >> 32) as u32]),
                }
            }
            words
        };
        let mut digit_of = |limit: &Integer| -> Vec<Vec<u32>> {
            let values = [
                Integer::new(),
                Integer::from(1),
                Integer::from(n - 1u32),
                n.clone(),
                Integer::from(limit - 1u32),
                stream.bits(n.significant_bits()) % n,
            ];
            let mut digits: Vec<Vec<u32>> = values
                .iter()
                .map(|value| {
                    let mut words = Vec::new();
                    form.put_half(value, &mut words);
                    words
                })
                .collect();
            digits.push(redundant(limit));
            digits
        };
        let (lows, highs) = (digit_of(&limits[0]), digit_of(&limits[1]));
        let mut operands: Vec<Vec<u32>> = Vec::new();
        for (number, low) in lows.iter().enumerate() {
            match shape.halves {
                1 => operands.push(low.clone()),
                // Not all pairs of digits: the equal ends, and each end beside the largest.
                _ => operands.extend([&highs[number], &highs[4], &highs[6]].map(|high| [low.as_slice(), high].concat())),
            }
        }
        operands.dedup();
        let inputs: Vec<u32> = operands.iter().flat_map(|a| operands.iter().flat_map(move |b| [a.as_slice(), b].concat())).collect();
        let pairs = operands.len() * operands.len();
        let step = Step { kind: Kind::Product, a: Place::Input(0), b: Place::Input(1), to: 0 };
        let memory = Memory {
            params: Params {
                count: pairs as u32,
                items: pairs as u32,
                steps: 1,
                inputs: 2,
                slots: 1,
                slot_base: 2 * pairs as u32,
                ..Params::default()
            },
            code: Code::chain(vec![step], 1).words(),
            constants: constants(&[&form]),
            slots: inputs.into_iter().chain(std::iter::repeat_n(0, pairs * shape.row_bytes() as usize / 4)).collect(),
            ..Memory::default()
        };
        Self { form, memory, pairs }
    }

    /// Compares slots with GMP's products, and their digits with the ranges.
    fn check(&self, slots: &[u32]) {
        let (shape, modulus) = (self.form.shape(), self.form.modulus());
        let row = shape.row_bytes() as usize / 4;
        let n = modulus.root().unwrap_or_else(|| modulus.value());
        for pair in 0..self.pairs {
            let input = |which: usize| self.form.value(&slots[(2 * pair + which) * row..][..row]);
            let result = &slots[(2 * self.pairs + pair) * row..][..row];
            assert_eq!(
                self.form.value(result),
                input(0) * input(1) % modulus.value(),
                "{shape}, modulus of {} bits, pair {pair}",
                n.significant_bits()
            );
            for (half, times) in result.chunks(row / shape.halves as usize).zip([2u32, 3]) {
                assert!(self.form.digit(half) < Integer::from(n * times), "{shape}: range of pair {pair}");
            }
        }
    }
}

/// The algorithm itself, at the end of every range. The all-ones operands with the all-ones modulus are the only ones that find an overflow.
#[test]
fn the_mirror_multiplies_at_the_edges() {
    let mut stream = stream();
    for variant in [U64, Variant { arithmetic: Arithmetic::U32, communication: Communication::Subgroup }, F64] {
        for (lanes, limbs) in [(1, 5), (2, 6), (1, MAX_LIMBS)] {
            for halves in [1, 2] {
                let shape = Shape { variant, lanes, limbs, halves, squares: false };
                for n in edge_moduli(&shape, &mut stream) {
                    let mut products = Products::edges(&n, shape, &mut stream);
                    mirror::run(Entry::Machine, &shape, &mut products.memory);
                    products.check(&products.memory.slots);
                }
            }
        }
    }
}

/// The bound on limbs matters, and only these operands find it: with 27 limbs a lane the sums overflow for a modulus of all ones, not for others.
#[test]
fn sums_that_are_too_long_are_found_by_all_ones() {
    let shape = Shape { variant: U64, lanes: 4, limbs: 27, halves: 2, squares: false };
    let most = shape.bits() * shape.half() as u32 - ROOM_BITS;
    let overflows = |n: Integer| {
        let mut products = Products::edges(&n, shape, &mut stream());
        std::panic::catch_unwind(move || mirror::run(Entry::Machine, &shape, &mut products.memory)).is_err()
    };
    assert!(overflows(all_ones(most)));
    assert!(!overflows((Integer::from(1) << (most - 1)) + 1u32));
}

#[test]
fn products_in_doubles_are_exact() {
    let top = 1i64 << 51;
    for (x, y) in [(top, top), (top - 1, top - 1), (-1, top), (0, 3), (top - 1, 1), (0x5_5555_5555_5555, 0x3_3333_3333_3333)] {
        let (high, low) = split(x as f64, y as f64);
        assert_eq!((i128::from(high) << 51) + i128::from(low), i128::from(x) * i128::from(y), "{x} {y}");
    }
}

/// Runs an entry point on the device over the words of a memory; the slots that it leaves.
fn on_device(context: &Context, entry: Entry, shape: &Shape, memory: &Memory, invocations: u64) -> Vec<u32> {
    let view = |words: &[u32]| View::whole(&context.filled(words).unwrap());
    let slots = context.filled(&memory.slots).unwrap();
    let bindings = Bindings {
        code: view(&memory.code),
        constants: view(&memory.constants),
        inputs: view(&memory.inputs),
        table: view(&memory.table),
        digits: view(&memory.digits),
        slots: View::whole(&slots),
    };
    let dispatch = Dispatch { entry, bindings: 0, params: memory.params, invocations };
    let work = Work { bindings: vec![bindings], dispatches: vec![dispatch], ..Work::default() };
    context.read(shape, work, View { buffer: slots, offset: 0, bytes: 4 * memory.slots.len() as u64 }, &Control::default()).unwrap()
}

/// Joined integers, whatever limbs they are made of.
fn integers(shape: &Shape, words: &[u32]) -> Vec<Integer> {
    let limb = |words: &[u32]| i64::from(words[0]) | words.get(1).map_or(0, |&high| i64::from(high) << 32);
    let limbs: Vec<i64> = words.chunks(shape.variant.arithmetic.limb_words()).map(limb).collect();
    limbs.chunks(shape.row()).map(|row| row.iter().rev().fold(Integer::new(), |sum, &limb| (sum << shape.bits()) + limb)).collect()
}

/// Every entry point on the device against its mirror at the edges: word for word, or number for number.
fn shader_equals_mirror(context: &Context, shape: Shape, rounds: usize, word_for_word: bool) {
    let mut stream = stream();
    for n in edge_moduli(&shape, &mut stream).into_iter().take(rounds) {
        let mut products = Products::edges(&n, shape, &mut stream);
        let teams = u64::from(products.memory.params.count) * u64::from(shape.lanes);
        let slots = on_device(context, Entry::Machine, &shape, &products.memory, teams);
        products.check(&slots);
        mirror::run(Entry::Machine, &shape, &mut products.memory);
        assert!(!word_for_word || slots == products.memory.slots, "{shape}: the machine differs from its mirror");
        // Its results go through the other entry points.
        let rows = products.pairs;
        let words = rows * shape.row_bytes() as usize / 4;
        let base =
            Memory { constants: products.memory.constants.clone(), inputs: slots[2 * words..].to_vec(), slots: vec![0; words], ..Memory::default() };
        let pairs: Vec<u32> = (0..rows as u32).flat_map(|i| [i, rows as u32 - 1 - i]).collect();
        let words: Vec<u32> = (0..3 * rows as u32).map(|i| i.wrapping_mul(0x9e37_79b9)).collect();
        let limbs = (rows * shape.row()) as u32;
        for (entry, params, code, invocations) in [
            (Entry::Join, Params { count: rows as u32, ..Params::default() }, Vec::new(), teams),
            (Entry::Gather, Params { count: limbs, ..Params::default() }, pairs, u64::from(limbs)),
            (Entry::Issue, Params { count: rows as u32, steps: 5, ..Params::default() }, Vec::new(), rows as u64),
            (Entry::Unpack, Params { count: limbs, inputs: 3, ..Params::default() }, words, u64::from(limbs)),
        ] {
            // Where products are split in another way, so are their parts.
            if entry == Entry::Issue && !word_for_word {
                continue;
            }
            let mut memory = Memory { params, code, ..base.clone() };
            let slots = on_device(context, entry, &shape, &memory, invocations);
            mirror::run(entry, &shape, &mut memory);
            let same = match (entry, word_for_word) {
                (Entry::Join, false) => integers(&shape, &slots) == integers(&shape, &memory.slots),
                _ => slots == memory.slots,
            };
            assert!(same, "{shape}: {} differs from its mirror", entry.name());
        }
    }
}

/// Items of two moduli in one dispatch, each modulus at the end of its range; then the second one's alone.
#[test]
fn two_moduli_in_one_dispatch_equal_the_mirror() {
    let Some(gpu) = gpu() else { return };
    let shape = Shape { variant: U64, lanes: 4, limbs: 9, halves: 2, squares: false };
    let mut stream = stream();
    let moduli = edge_moduli(&shape, &mut stream);
    let both = [&moduli[0], &moduli[1]].map(|n| Products::edges(n, shape, &mut stream));
    let pairs = both[0].pairs.min(both[1].pairs);
    let row = shape.row_bytes() as usize / 4;
    let inputs = both.iter().flat_map(|products| &products.memory.slots[..2 * pairs * row]).copied();
    let count = 2 * pairs as u32;
    let memory = Memory {
        params: Params { count, items: count, slot_base: 2 * count, per_modulus: pairs as u32, ..both[0].memory.params },
        constants: constants(&[&both[0].form, &both[1].form]),
        slots: inputs.chain(std::iter::repeat_n(0, 2 * pairs * row)).collect(),
        ..both[0].memory.clone()
    };
    let teams = |params: &Params| u64::from(params.count) * u64::from(shape.lanes);
    let slots = on_device(&gpu.context, Entry::Machine, &shape, &memory, teams(&memory.params));
    let mut mirrored = memory.clone();
    mirror::run(Entry::Machine, &shape, &mut mirrored);
    assert!(slots == mirrored.slots);
    let at = |number: usize| &slots[number * row..(number + 1) * row];
    for item in 0..2 * pairs {
        let form = &both[item / pairs].form;
        let product = form.value(at(2 * item)) * form.value(at(2 * item + 1)) % form.modulus().value();
        assert_eq!(form.value(at(4 * pairs + item)), product, "item {item}");
    }
    // The results of the second modulus leave by themselves.
    let params = Params { count: pairs as u32, first_item: pairs as u32, per_modulus: pairs as u32, ..Params::default() };
    let mut memory = Memory { params, inputs: slots[5 * pairs * row..].to_vec(), slots: vec![0; pairs * row], ..memory };
    let joined = on_device(&gpu.context, Entry::Join, &shape, &memory, teams(&params));
    mirror::run(Entry::Join, &shape, &mut memory);
    assert!(joined == memory.slots);
}

/// The kernels in doubles on an adapter whose fma is not fused: the three functions that need it are replaced by exact ones in integers.
#[test]
fn kernels_in_doubles_are_right_where_products_are_exact() {
    fn exact(text: &str) -> String {
        text.replace("return fma(x, y, UPPER);", "return round(x * y * 4.440892098500626e-16lf);")
            .replace("return bitcast<i64>(h) - UPPER_BITS;", "return i64(h);")
            .replace("return bitcast<i64>(fma(x, y, BOTH - h)) - LOWER_BITS;", "return i64(x) * i64(y) - (i64(h) << 51u);")
    }
    let Some(gpu) = gpu() else { return };
    if !gpu.context.adapter.lacks(F64).is_empty() {
        println!("skipped: {} has no doubles", gpu.context.adapter.name);
        return;
    }
    let Some(mut patched) = gpu_with(U64) else { return };
    Arc::get_mut(&mut patched.context).unwrap().patch = Some(exact);
    shader_equals_mirror(&patched.context, Shape { variant: F64, lanes: 2, limbs: 5, halves: 2, squares: false }, 5, false);
    shader_equals_mirror(&patched.context, Shape { variant: F64, lanes: 1, limbs: 6, halves: 1, squares: false }, 2, false);
}

/// The body for squares, which a real GPU uses, is right where a branch runs both ways, too.
#[test]
fn squares_by_their_own_body_give_the_same_bits() {
    let portable = gpu_with(U32);
    for (gpu, variant, limbs) in [(gpu(), U64, 9), (portable.as_ref(), U32, 5)] {
        let Some(gpu) = gpu else { continue };
        let shape = Shape { variant, lanes: 2, limbs, halves: 2, squares: true };
        for n in edge_moduli(&shape, &mut stream()) {
            squares_equal_the_oracle(&gpu.context, shape, n);
        }
    }
}

fn squares_equal_the_oracle(context: &Arc<Context>, shape: Shape, n: Integer) {
    let modulus = Modulus::square(n).unwrap();
    let values = residues(&modulus, 11);
    let arithmetic =
        GpuResidues::new(Engine::new(Arc::clone(context), vec![MontgomeryForm::new(modulus.clone(), shape)], Control::default()).unwrap());
    let oracle = open(BackendId::Gmp).unwrap().residues(vec![modulus]).unwrap();
    let ops = (0..40).map(|i: u32| if i % 4 == 3 { Op::Mul { dst: 1, a: 1, b: 0 } } else { Op::Sqr { dst: 1, a: i.min(1) } }).collect();
    let chain = Program::new(1, ops, (1..=40).collect(), vec![1], 0, 0).unwrap();
    let run = |arithmetic: &dyn Residues| arithmetic.download(&arithmetic.run(&chain, &arithmetic.upload(&values).unwrap(), None).unwrap()).unwrap();
    assert!(run(&arithmetic) == run(oracle.as_ref()), "{shape}");
}

#[test]
fn shaders_of_the_main_variant_equal_their_mirrors() {
    let Some(gpu) = gpu() else { return };
    shader_equals_mirror(&gpu.context, Shape { variant: U64, lanes: 4, limbs: 9, halves: 2, squares: false }, 5, true);
    shader_equals_mirror(&gpu.context, Shape { variant: U64, lanes: 1, limbs: 5, halves: 1, squares: false }, 5, true);
    // As many limbs as the sums allow.
    shader_equals_mirror(&gpu.context, Shape { variant: U64, lanes: 1, limbs: MAX_LIMBS, halves: 2, squares: false }, 2, true);
}

#[test]
fn shaders_of_the_portable_variant_equal_their_mirrors() {
    let Some(gpu) = gpu_with(U32) else { return };
    shader_equals_mirror(&gpu.context, Shape { variant: U32, lanes: 4, limbs: 5, halves: 2, squares: false }, 3, true);
}

/// The adapter of the tests rounds twice, or has passed the test: then its kernels must equal the mirror.
#[test]
fn doubles_are_used_only_where_they_are_fused() {
    let Some(gpu) = gpu() else { return };
    let fused = is_fused(&gpu.context, &Control::default()).unwrap();
    println!("{}: fma is {}fused", gpu.context.adapter.name, if fused { "" } else { "not " });
    if fused {
        shader_equals_mirror(&gpu_with(F64).unwrap().context, Shape { variant: F64, lanes: 2, limbs: 5, halves: 2, squares: false }, 5, true);
    } else if gpu.context.adapter.lacks(F64).is_empty() {
        let error = Gpu::open(None, Some(F64.name()), &Control::default()).err().unwrap();
        assert!(matches!(&error, Error::BackendUnavailable { reason, .. } if reason.contains("self-test")), "{error}");
    }
}

#[test]
fn programs_are_cut_into_pieces_that_cover_them() {
    let ops = (0..10u32).map(|dst| Op::Sqr { dst: 1 + dst, a: if dst < 8 { 0 } else { dst } }).collect();
    let code = Code::of(&Program::new(1, ops, vec![8, 9, 10], vec![10], 0, 0).unwrap());
    // One item: the wide level side by side, the narrow ones in a row.
    assert_eq!(pieces(&code, 1, usize::MAX, usize::MAX, 64, 4), [Piece { first: 0, steps: 1, strands: 8 }, Piece { first: 8, steps: 2, strands: 1 }]);
    // Many items fill the device by themselves.
    assert_eq!(pieces(&code, 1000, usize::MAX, usize::MAX, 64, 4), [Piece { first: 0, steps: 10, strands: 1 }]);
    // Limits on steps and on products cut, and nothing is left out.
    for (items, steps, products) in [(1, 1, 3), (1, 4, 1), (1000, 3, usize::MAX), (1000, usize::MAX, 2500), (7, 2, 1)] {
        let mut next = 0;
        for piece in pieces(&code, items, steps, products, 64, 4) {
            assert_eq!(piece.first, next);
            assert!(piece.steps <= steps && (piece.steps == 1 || piece.strands == 1));
            assert!(piece.steps * piece.strands * items <= products.max(items), "{piece:?}");
            next += piece.steps * piece.strands;
        }
        assert_eq!(next, 10);
    }
}

fn arithmetic(gpu: &Gpu, modulus: &Modulus) -> GpuResidues {
    GpuResidues::new(gpu.engine(vec![modulus.clone()], &Control::default()).unwrap())
}

fn residues(modulus: &Modulus, count: usize) -> Limbs {
    let mut stream = stream();
    let values: Vec<Integer> = (0..count).map(|_| stream.bits(modulus.bits() + 8) % modulus.value()).collect();
    Limbs::from_integers(&values, modulus.width()).unwrap()
}

/// A chunk a little at a time: narrow limits change nothing but the number of dispatches.
#[test]
fn narrow_limits_give_the_same_bits() {
    let Some(mut gpu) = gpu_with(U64) else { return };
    let modulus = Modulus::square(all_ones(512)).unwrap();
    let values = residues(&modulus, 37);
    let plan = FixedBase::plan(12, 4).unwrap();
    let digits = [Digits::new(plan.windows(), (0..37 * plan.windows()).map(|i| (i * 7 % 16) as u16).collect()).unwrap()];
    let work = |arithmetic: &dyn Residues| -> Vec<Limbs> {
        let base = arithmetic.upload(&Limbs::from_integers(&[3u32, 1, 5].map(Integer::from), modulus.width()).unwrap()).unwrap();
        let table = arithmetic.run(plan.build(), &base, None).unwrap();
        let inputs = arithmetic.upload(&values).unwrap();
        let products = arithmetic.run(plan.apply(), &inputs, Some(Lookup { table: &table, digits: &digits })).unwrap();
        let powers = arithmetic.pow(&products, Exponents::Shared(&Integer::from(0xdead_beefu32)), Secrecy::Secret).unwrap();
        let picks: Vec<(usize, usize)> = (0..37).rev().flat_map(|i| [(0, i), (1, 36 - i)]).collect();
        let gathered = arithmetic.gather(&[&products, &powers], &picks).unwrap();
        [&table, &products, &powers, &gathered].map(|batch| arithmetic.download(batch).unwrap()).into()
    };
    let expected = work(open(BackendId::Gmp).unwrap().residues(vec![modulus.clone()]).unwrap().as_ref());
    assert!(work(&arithmetic(&gpu, &modulus)) == expected);
    let limits = &mut Arc::get_mut(&mut gpu.context).unwrap().limits;
    // Nine rows in a binding, less for scratch; seven groups in a dimension; few iterations; chunks one after the other.
    (limits.binding_bytes, limits.scratch_bytes, limits.groups, limits.iterations, limits.in_flight) = (33 * 144 + 256, 2048, 3, Some(60), 2);
    limits.seconds = 1e-4;
    let rows = work_without_large_table(&arithmetic(&gpu, &modulus), &values);
    assert_eq!(two_moduli(&gpu), two_moduli_by_gmp());
    assert!(rows == work_without_large_table(open(BackendId::Gmp).unwrap().residues(vec![modulus.clone()]).unwrap().as_ref(), &values));
    // What no binding can hold is refused in one line.
    let base = arithmetic(&gpu, &modulus).upload(&Limbs::from_integers(&[3u32, 1, 5].map(Integer::from), modulus.width()).unwrap()).unwrap();
    let error = arithmetic(&gpu, &modulus).run(plan.build(), &base, None).err().unwrap();
    assert!(matches!(&error, Error::OutOfRange { what: "a buffer on the device", .. }), "{error}");
}

fn work_without_large_table(arithmetic: &dyn Residues, values: &Limbs) -> Vec<Limbs> {
    let inputs = arithmetic.upload(values).unwrap();
    let powers = arithmetic.pow(&inputs, Exponents::Shared(&Integer::from(0x1_0001u32)), Secrecy::Public).unwrap();
    let picks: Vec<(usize, usize)> = (0..values.len()).rev().flat_map(|i| [(0, i), (1, values.len() - 1 - i)]).collect();
    let gathered = arithmetic.gather(&[&inputs, &powers], &picks).unwrap();
    [&inputs, &powers, &gathered].map(|batch| arithmetic.download(batch).unwrap()).into()
}

/// Items of two moduli of which one is longer, in numbers that no limit divides.
fn two_moduli_of(joint: &dyn Residues) -> Vec<Limbs> {
    let values: Vec<Limbs> = joint.moduli().iter().map(|modulus| residues(modulus, 23)).collect();
    let inputs = joint.upload_each(&values).unwrap();
    let powers = joint.pow(&inputs, Exponents::OfModulus(&[0x1_0001u32, 0xdead_beef].map(Integer::from)), Secrecy::Secret).unwrap();
    let picks: Vec<(usize, usize)> = (0..23).rev().flat_map(|i| [(0, i), (1, 22 - i)]).collect();
    let products = joint.run(&Program::single_product().unwrap(), &joint.gather(&[&inputs, &powers], &picks).unwrap(), None).unwrap();
    [&inputs, &powers, &products].iter().flat_map(|batch| joint.download_each(batch).unwrap()).collect()
}

fn two_squares() -> Vec<Modulus> {
    [all_ones(512), all_ones(447)].map(|n| Modulus::square(n).unwrap()).into()
}

fn two_moduli(gpu: &Gpu) -> Vec<Limbs> {
    two_moduli_of(&GpuResidues::new(gpu.engine(two_squares(), &Control::default()).unwrap()))
}

fn two_moduli_by_gmp() -> Vec<Limbs> {
    two_moduli_of(open(BackendId::Gmp).unwrap().residues(two_squares()).unwrap().as_ref())
}

#[test]
fn moduli_that_do_not_go_together_are_refused() {
    let Some(gpu) = gpu() else { return };
    let mixed = vec![Modulus::square(all_ones(256)).unwrap(), Modulus::new(all_ones(512)).unwrap()];
    assert!(matches!(gpu.engine(mixed, &Control::default()), Err(Error::Unsupported { .. })));
    assert!(matches!(gpu.engine(Vec::new(), &Control::default()), Err(Error::Size { .. })));
    // A batch of two moduli is none of one of them.
    let joint = GpuResidues::new(gpu.engine(two_squares(), &Control::default()).unwrap());
    let batch = joint.upload_each(&two_squares().iter().map(|modulus| residues(modulus, 2)).collect::<Vec<_>>()).unwrap();
    assert_eq!(batch.len(), 2);
    assert!(arithmetic(gpu, &two_squares()[0]).download(&batch).is_err());
}

/// One wrong result at any place of a chunk: found surely where all are compared, with the probability that is stated where products of them are.
#[test]
fn one_wrong_result_is_found_wherever_it_is() {
    let Some(gpu) = gpu() else { return };
    let modulus = Modulus::square(all_ones(256)).unwrap();
    let arithmetic = arithmetic(gpu, &modulus);
    let plant = |row: usize, other: usize| *arithmetic.engine().fault.lock().unwrap() = Some((row, other));
    let is_found = |result: Result<crate::backend::Resident, Error>| match result {
        Ok(_) => false,
        Err(Error::Disagreement { .. }) => true,
        Err(other) => panic!("{other}"),
    };
    // Both outputs of few items.
    let ops = vec![Op::Mul { dst: 2, a: 0, b: 1 }, Op::Sqr { dst: 3, a: 2 }];
    let program = Program::new(2, ops, vec![1, 2], vec![2, 3], 0, 0).unwrap();
    let few = arithmetic.upload(&residues(&modulus, 2 * 12)).unwrap();
    for row in 0..24 {
        plant(row, (row + 1) % 24);
        assert!(is_found(arithmetic.run(&program, &few, None)), "{row}");
    }
    // Many powers with one exponent: eight products of halves.
    let many = arithmetic.upload(&residues(&modulus, 300)).unwrap();
    let exponent = all_ones(128);
    for row in (0..300).step_by(43).chain([299]) {
        plant(row, (row + 1) % 300);
        assert!(is_found(arithmetic.pow(&many, Exponents::Shared(&exponent), Secrecy::Public)), "{row}");
    }
    assert!(!is_found(arithmetic.pow(&many, Exponents::Shared(&exponent), Secrecy::Public)));
    // Many short programs: one product of a half, so every other fault. More than five standard deviations would be wrong.
    let single = Program::single_product().unwrap();
    let count = 1500;
    let many = arithmetic.upload(&residues(&modulus, 2 * count)).unwrap();
    let trials = 40;
    let found = (0..trials)
        .filter(|trial| {
            let row = trial * 37 % count;
            plant(row, (row + 1) % count);
            is_found(arithmetic.run(&single, &many, None))
        })
        .count();
    assert!((5..=35).contains(&found), "{found} of {trials}");
    assert!(!is_found(arithmetic.run(&single, &many, None)));
    // Exponents of their own: results here and there, and a batch of wrong ones does not get through.
    let each: Vec<Integer> = (0..300u32).map(|i| Integer::from(&exponent - i)).collect();
    let bases = arithmetic.upload(&residues(&modulus, 300)).unwrap();
    assert!(!is_found(arithmetic.pow(&bases, Exponents::Each(&each), Secrecy::Public)));
}

#[test]
fn checks_cost_a_part_of_the_work() {
    let chain = |steps: usize| Code::chain(vec![Step { kind: Kind::Product, a: Place::Input(0), b: Place::Input(0), to: 0 }; steps], 1);
    assert_eq!([1, 16, 31, 32, 63, 64, 128, 5000].map(|steps| times(&chain(steps))), [1, 2, 3, 4, 7, 8, 8, 8]);
    // The product of items reads each of them once.
    for inputs in 1..40 {
        let code = Code::product(inputs);
        assert_eq!((code.steps.len(), code.outputs.len()), (inputs - 1, 1));
        assert_eq!(code.cone(&code.outputs), code.steps);
        assert_eq!(code.level_ends.last().copied().unwrap_or(0), inputs - 1);
    }
}

#[test]
fn time_of_the_device_is_a_union_of_intervals() {
    let mut busy = Busy::default();
    busy.add(vec![(10, 20), (15, 30), (40, 50), (42, 45)]);
    assert_eq!(busy.ticks, 30);
    // What comes later overlaps, too; a clock that was set back adds nothing.
    busy.add(vec![(45, 60), (70, 65)]);
    assert_eq!(busy.ticks, 40);
    let Some(gpu) = gpu() else { return };
    let Some(before) = gpu.context.device_ns() else { return println!("skipped: {} has no clock", gpu.context.adapter.name) };
    let modulus = Modulus::square(all_ones(256)).unwrap();
    let arithmetic = arithmetic(gpu, &modulus);
    let (_, elapsed) = crate::stopwatch::Stopwatch::time(|| {
        let values = arithmetic.upload(&residues(&modulus, 40)).unwrap();
        arithmetic.pow(&values, Exponents::Shared(&all_ones(200)), Secrecy::Public).unwrap()
    });
    let passed = gpu.context.device_ns().unwrap() - before;
    // Other tests may be at work on the same device meanwhile.
    assert!(passed > 0, "{passed} of {elapsed:?}");
}

/// More operations in a row than the loops of one dispatch may run on a software adapter, in the widest teams.
#[test]
fn long_programs_stay_below_the_limit_on_loops() {
    let Some(mut gpu) = gpu_with(U64) else { return };
    // The limit on time must not be what cuts.
    Arc::get_mut(&mut gpu.context).unwrap().limits.seconds = 1e4;
    let modulus = Modulus::square(all_ones(2048)).unwrap();
    let ops: Vec<Op> = (0..14_000u32).map(|i| Op::Sqr { dst: 1, a: i.min(1) }).collect();
    let program = Program::new(1, ops, (1..=14_000).collect(), vec![1], 0, 0).unwrap();
    let values = residues(&modulus, 2);
    let run =
        |arithmetic: &dyn Residues| arithmetic.download(&arithmetic.run(&program, &arithmetic.upload(&values).unwrap(), None).unwrap()).unwrap();
    assert!(run(&arithmetic(&gpu, &modulus)) == run(open(BackendId::Gmp).unwrap().residues(vec![modulus.clone()]).unwrap().as_ref()));
}

#[test]
fn a_device_that_computes_wrong_is_found_out() {
    let Some(gpu) = gpu() else { return };
    let modulus = Modulus::square(all_ones(256)).unwrap();
    let good = arithmetic(gpu, &modulus);
    let values = residues(&modulus, 20);
    let batch = good.upload(&values).unwrap();
    let shape = *gpu.engine(vec![modulus.clone()], &Control::default()).unwrap().shape();
    let faulty = GpuResidues::new(Engine::with_fault(Arc::clone(&gpu.context), vec![MontgomeryForm::new(modulus, shape)]).unwrap());
    let is_caught = |what: &str, result: Result<(), Error>| assert!(matches!(result, Err(Error::Disagreement { .. })), "{what}: {result:?}");
    is_caught("upload", faulty.upload(&values).map(drop));
    is_caught("run", faulty.run(&Program::single_product().unwrap(), &batch, None).map(drop));
    is_caught("pow", faulty.pow(&batch, Exponents::Shared(&Integer::from(77)), Secrecy::Secret).map(drop));
    is_caught("download", faulty.download(&batch).map(drop));
    is_caught("invert", faulty.invert(&batch).map(drop));
}

#[test]
fn a_lost_device_is_an_error_and_is_opened_again() {
    let Some(gpu) = gpu_with(U64) else { return };
    let modulus = Modulus::square(all_ones(256)).unwrap();
    let (arithmetic, values) = (arithmetic(&gpu, &modulus), residues(&modulus, 3));
    let batch = arithmetic.upload(&values).unwrap();
    gpu.context.lose();
    for result in [arithmetic.upload(&values).map(drop), arithmetic.download(&batch).map(drop), arithmetic.invert(&batch).map(drop)] {
        let error = result.unwrap_err();
        assert!(matches!(&error, Error::DeviceFailed { .. }) && error.to_string().contains("lost") && !error.to_string().contains('\n'), "{error}");
    }
    let again = gpu_with(U64).unwrap();
    assert_eq!(self::arithmetic(&again, &modulus).upload(&values).unwrap().len(), 3);
}

#[test]
fn a_lack_of_memory_is_retried_once_in_smaller_chunks() {
    let Some(gpu) = gpu_with(U64) else { return };
    let modulus = Modulus::square(all_ones(256)).unwrap();
    let (arithmetic, values) = (arithmetic(&gpu, &modulus), residues(&modulus, 8));
    let batch = arithmetic.upload(&values).unwrap();
    let single = Program::single_product().unwrap();
    let expected = arithmetic.download(&arithmetic.run(&single, &batch, None).unwrap()).unwrap();
    // The scratch of the first chunk is not there, then there is enough.
    gpu.context.buffers_left.store(1, Ordering::SeqCst);
    assert!(arithmetic.download(&arithmetic.run(&single, &batch, None).unwrap()).unwrap() == expected);
    // Where room for the results is missing, nothing smaller helps.
    gpu.context.buffers_left.store(0, Ordering::SeqCst);
    let error = arithmetic.gather(&[&batch], &[(0, 0)]).err().unwrap();
    assert!(matches!(&error, Error::DeviceFailed { problem, .. } if problem.contains("no memory")), "{error}");
}

fn adapter(name: &str, kind: wgpu::DeviceType, features: wgpu::Features) -> Adapter {
    Adapter { name: name.into(), kind, driver: "none".into(), features, subgroup: (32, 32) }
}

#[test]
fn a_software_adapter_is_the_last_choice_and_named_as_one() {
    let all = wgpu::Features::SHADER_INT64 | wgpu::Features::SUBGROUP;
    let list = [adapter("llvmpipe", wgpu::DeviceType::Cpu, all), adapter("Big GPU", wgpu::DeviceType::DiscreteGpu, all)];
    assert_eq!(choose(&list, None), Ok(1));
    assert_eq!(choose(&list, Some("LLVM")), Ok(0));
    assert!(choose(&list, Some("voodoo")).unwrap_err().contains("llvmpipe, Big GPU"));
    assert!(choose(&[], None).unwrap_err().contains("no Vulkan"));
    assert!(list[0].is_software() && !list[1].is_software());
    assert_ne!(crate::backend::fastest(&Control::default()).unwrap().id(), BackendId::Gpu);
}

#[test]
fn bounds_are_known_by_exact_names() {
    let bound = |name: &str, variant| Multipliers::of(name).and_then(|multipliers| multipliers.limb_products_per_second(variant));
    // The issue rates of gpu-base-n: 132 multiprocessors, 32 wide products a cycle, 1.755 GHz, and 5 half-size products of 72 limbs.
    let h200 = bound("NVIDIA H200", U64).unwrap();
    assert!((h200 / (5.0 * 72.0 * 72.0) / 286e6 - 1.0).abs() < 0.01, "{h200}");
    assert_eq!(bound("NVIDIA H100 80GB HBM3", U64), Some(h200));
    assert!(bound("NVIDIA H100 PCIe", U64).unwrap() < h200);
    for name in [
        "NVIDIA A100-SXM4-40GB",
        "NVIDIA A100 80GB PCIe",
        "NVIDIA L40S",
        "NVIDIA GeForce RTX 4090",
        "NVIDIA GeForce RTX 3090",
        "Apple M1 Max",
        "Apple M2",
    ] {
        let multipliers = Multipliers::of(name).unwrap();
        let [wide, narrow] = [U64, U32].map(|variant| multipliers.limb_products_per_second(variant).unwrap());
        assert!(narrow > wide && wide > 1e11 && !multipliers.to_string().is_empty(), "{name}");
        assert_eq!(bound(name, F64).is_some(), name.starts_with("NVIDIA"), "{name}");
    }
    // Other cards have other numbers of multiprocessors.
    for name in [
        "NVIDIA GeForce RTX 4090 Laptop GPU",
        "NVIDIA GeForce RTX 4090 D",
        "NVIDIA GeForce RTX 3090 Ti",
        "Apple M3",
        "AMD Radeon RX 7900 XTX",
        "llvmpipe (LLVM 15.0.6, 256 bits)",
        "",
    ] {
        assert!(Multipliers::of(name).is_none(), "{name}");
    }
}

#[test]
fn a_variant_that_the_adapter_cannot_run_is_refused() {
    let old = adapter("old", wgpu::DeviceType::IntegratedGpu, wgpu::Features::empty());
    assert_eq!(variants(&old, None).unwrap(), [U32]);
    let error = variants(&old, Some("u64-subgroup")).unwrap_err().to_string();
    assert!(error.contains("old lacks 64-bit integers and subgroup operations, which u64-subgroup needs"), "{error}");
    assert!(matches!(variants(&old, Some("u65")), Err(Error::Unknown { .. })));
}

#[test]
fn adapters_are_listed_without_a_failure() {
    for found in adapters() {
        let facts = Adapter::of(&found);
        println!("{} ({:?}): {:?}", facts.name, facts.kind, facts.variants().iter().map(|v| v.name()).collect::<Vec<_>>());
    }
}

/// Prints, and takes long to compile: the best of several runs beside GMP's. `cargo test --release gpu::tests::rates -- --ignored --nocapture`
#[test]
#[ignore = "measures"]
fn rates() {
    let Some(gpu) = gpu() else { return };
    for bits in [1024, 2048] {
        let modulus = Modulus::square(all_ones(bits)).unwrap();
        for shape in Shape::candidates(U64, &modulus, gpu.context.limits.team) {
            let of_device = || gpu.rates(&modulus, &[shape], &Control::default()).unwrap()[0].wall;
            let (device, gmp) = (0..5).fold((0f64, 0f64), |best, _| (best.0.max(of_device()), best.1.max(super::adapter::gmp_rate(&modulus))));
            println!("{bits} {shape}: {device:.0} per second, one thread of GMP {gmp:.0}, {:.2}x", device / gmp);
        }
    }
}

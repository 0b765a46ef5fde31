//! Chunks of what the device computed, compared with GMP.
//!
//! | chunk | what is compared | a single wrong result is found |
//! |---|---|---|
//! | small | every result | surely |
//! | of programs without digits, of powers with one exponent | the product of a random half of the items, some times over | with probability 1 - 2^-times |
//! | any other | results here and there, as many as a small chunk has | in proportion |
//!
//! **Products of items.** Programs of products and powers with one exponent are homomorphisms: if y_i = f(x_i) for all items i, then prod y_i = f(prod x_i) over any
//! set of items. A set that takes each item by a coin of its own is wrong on both sides alike with probability at most 1/2 when some y_i is wrong and all are units: of
//! the two sets that differ in that item alone at most one fits. (Bellare, Garay and Rabin, *Fast batch verification for modular exponentiation and digital signatures*,
//! EUROCRYPT 1998, random subset test.) The products are made on the device, the function of the product by GMP.

use std::collections::HashSet;
use std::ops::Range;

use rayon::prelude::*;

use super::bytecode::{Code, Kind, Place, Step};
use super::device::Fault;
use super::engine::{Check, Engine, Job, Picks, Rows, Values};
use crate::integer::Integer;
use crate::modulus::wipe;

/// Work of GMP for the check of one chunk, in products.
const PRODUCTS_CHECKED: usize = 4096;
/// Products that it costs to bring a residue back and to make an integer of it.
const READING: usize = 2;
/// Items that one product of items has at most.
const ITEMS_TOGETHER: usize = 1024;
/// Most products of items for one set of them.
const MOST_TIMES: usize = 8;
/// What the products of items may cost, as a part of the chunk's own work.
const PART_OF_WORK: usize = 8;

impl Engine {
    /// Compares a chunk's results with GMP's; see above.
    pub(super) fn check(&self, job: &Job<'_>, chunk: Range<usize>, outputs: &Rows) -> Result<(), Fault> {
        let (code, count) = (job.code, chunk.len());
        let alike = match job.check {
            Check::Left => return Ok(()),
            Check::Code => matches!(job.digits, Picks::None),
            Check::Power { alike, .. } => alike,
        };
        let columns = code.inputs + code.outputs.len();
        if count * (code.steps.len() + READING * columns) <= PRODUCTS_CHECKED {
            let every = |item| (item, (0..code.outputs.len()).collect());
            return self.check_items(job, &chunk.map(every).collect::<Vec<_>>(), outputs);
        }
        if alike && count > 1 {
            let mut first = chunk.start;
            while first < chunk.end {
                // Items of one modulus.
                let modulus = self.modulus_of(job, first);
                let end = (first..chunk.end.min(first + ITEMS_TOGETHER)).rfind(|&item| self.modulus_of(job, item) == modulus);
                let end = end.map_or(first + 1, |last| last + 1);
                self.check_together(job, first..end, outputs)?;
                first = end;
            }
            return Ok(());
        }
        let mut samples: Vec<(usize, Vec<usize>)> = Vec::new();
        let mut cost = 0;
        while cost < PRODUCTS_CHECKED {
            let mixed = self.mixed();
            let (item, output) = (chunk.start + (mixed >> 32) as usize % count, (mixed & 0xffff_ffff) as usize % code.outputs.len());
            let steps = match job.check {
                Check::Power { .. } => code.steps.len(),
                _ => code.cone(&[code.outputs[output]]).len(),
            };
            // One at least, and then as many as can be paid for.
            if !samples.is_empty() && cost + 2 * steps > PRODUCTS_CHECKED {
                break;
            }
            // A factor of a product in a cone is an input for the most part.
            cost += steps * (1 + READING) + READING;
            samples.push((item, vec![output]));
        }
        self.check_items(job, &samples, outputs)
    }

    /// Compares outputs of items, each by itself.
    fn check_items(&self, job: &Job<'_>, items: &[(usize, Vec<usize>)], outputs: &Rows) -> Result<(), Fault> {
        let code = job.code;
        let places = |which: &[usize]| which.iter().map(|&output| code.outputs[output]).collect::<Vec<_>>();
        let is_power = matches!(job.check, Check::Power { .. });
        let samples: Vec<Sample> = items
            .par_iter()
            .map(|(item, which)| match is_power {
                true => Sample::of_input(),
                false => Sample::of(code, &places(which), job.digits.of(*item, code.windows)),
            })
            .collect();
        let per_modulus_entries = job.table.map_or(0, |table| table.len() / self.forms().len());
        let (mut input_rows, mut entry_rows, mut output_rows) = (Vec::new(), Vec::new(), Vec::new());
        let mut moduli = [Vec::new(), Vec::new(), Vec::new()];
        for ((item, which), sample) in items.iter().zip(&samples) {
            let modulus = self.modulus_of(job, *item);
            input_rows.extend(sample.inputs.iter().map(|&at| item * code.inputs + at as usize));
            entry_rows.extend(sample.entries.iter().map(|&at| modulus * per_modulus_entries + at as usize));
            output_rows.extend(which.iter().map(|output| item * code.outputs.len() + output));
            for (list, rows) in moduli.iter_mut().zip([&input_rows, &entry_rows, &output_rows]) {
                list.resize(rows.len(), modulus);
            }
        }
        let moduli = moduli.concat();
        let table = job.table.unwrap_or(job.inputs);
        let values = self.values(&[(job.inputs, &input_rows), (table, &entry_rows), (outputs, &output_rows)], &|at| moduli[at])?;
        let (inputs, rest) = values.0.split_at(input_rows.len());
        let (entries, actual) = rest.split_at(entry_rows.len());
        // Where each sample's numbers begin.
        let starts = items.iter().zip(&samples).scan([0; 3], |next, ((_, which), sample)| {
            let here = *next;
            *next = [here[0] + sample.inputs.len(), here[1] + sample.entries.len(), here[2] + which.len()];
            Some(here)
        });
        let work: Vec<_> = items.iter().zip(&samples).zip(starts).collect();
        work.into_par_iter().try_for_each(|(((item, which), sample), [input, entry, output])| {
            let modulus = self.forms()[self.modulus_of(job, *item)].modulus().value();
            let inputs = &inputs[input..input + sample.inputs.len()];
            let expected = Values(match &job.check {
                Check::Power { of, .. } => vec![of(*item, &inputs[0])],
                _ => sample.values(inputs, &entries[entry..entry + sample.entries.len()], modulus),
            });
            let wrong = expected.0.iter().zip(&actual[output..output + which.len()]).position(|(expected, actual)| expected != actual);
            wrong.map_or(Ok(()), |at| Err(differs(&format!("output {} of item {item}", which[at]))))
        })
    }

    /// Compares products of items that have one function: of a random half of them, as often as its cost allows. All products are made at once, GMP's side over threads.
    fn check_together(&self, job: &Job<'_>, items: Range<usize>, outputs: &Rows) -> Result<(), Fault> {
        let code = job.code;
        let modulus = self.modulus_of(job, items.start);
        let (inputs, results) = (code.inputs, code.outputs.len());
        let halves: Vec<Vec<usize>> = (0..times(code)).map(|_| self.half_of(&items)).filter(|chosen| !chosen.is_empty()).collect();
        let Some(most) = halves.iter().map(Vec::len).max() else { return Ok(()) };
        // A smaller half is filled up with ones, which change neither side.
        let left = |code, inputs, items, modulus| Job { code, inputs, items, table: None, digits: Picks::None, check: Check::Left, modulus };
        let one = Code::one();
        let ones = self.run(&left(&one, job.inputs, self.forms().len(), None))?;
        let column = |source: usize, width: usize, at: usize, chosen: &[usize]| {
            let rows = chosen.iter().map(|item| (source, item * width + at));
            rows.chain(std::iter::repeat_n((2, modulus), most - chosen.len())).collect::<Vec<_>>()
        };
        let columns = |chosen: &Vec<usize>| {
            let of_inputs = (0..inputs).flat_map(|at| column(0, inputs, at, chosen));
            of_inputs.chain((0..results).flat_map(|at| column(1, results, at, chosen))).collect::<Vec<_>>()
        };
        let picks: Vec<(usize, usize)> = halves.iter().flat_map(columns).collect();
        let columns = self.gather(&[job.inputs, outputs, &ones], &picks)?;
        let product = Code::product(most);
        let products = self.run(&left(&product, &columns, halves.len() * (inputs + results), Some(modulus)))?;
        let rows: Vec<usize> = (0..products.len()).collect();
        let values = self.values(&[(&products, &rows)], &|_| modulus)?;
        let sample = match job.check {
            Check::Power { .. } => Sample::of_input(),
            _ => Sample::of(code, &code.outputs, &[]),
        };
        halves.par_iter().zip(values.0.par_chunks_exact(inputs + results)).try_for_each(|(chosen, values)| {
            let (x, actual) = values.split_at(inputs);
            let expected = Values(match &job.check {
                Check::Power { of, .. } => vec![of(chosen[0], &x[0])],
                _ => {
                    let read: Vec<Integer> = sample.inputs.iter().map(|&at| x[at as usize].clone()).collect();
                    sample.values(&Values(read).0, &[], self.forms()[modulus].modulus().value())
                }
            });
            match expected.0.iter().zip(actual).position(|(expected, actual)| expected != actual) {
                Some(output) => Err(differs(&format!("output {output} of one of the items {} to {}", items.start, items.end - 1))),
                None => Ok(()),
            }
        })
    }

    /// Each item by a coin of its own.
    fn half_of(&self, items: &Range<usize>) -> Vec<usize> {
        let mut coins = 0;
        let heads = |item: &usize| {
            if (item - items.start).is_multiple_of(64) {
                coins = self.mixed();
            }
            coins >> ((item - items.start) % 64) & 1 == 1
        };
        items.clone().filter(heads).collect()
    }
}

/// How often items with this code are compared by products of them: one product of a half of them takes half a product for each input and output of an item.
pub(super) fn times(code: &Code) -> usize {
    let columns = code.inputs + code.outputs.len();
    (2 * code.steps.len() / (columns * PART_OF_WORK).max(1)).clamp(1, MOST_TIMES)
}

/// The numbers may be secret; which of them differs says enough.
fn differs(place: &str) -> Fault {
    Fault::Wrong {
        what: "a check of the results",
        expected: "what GMP makes of the same inputs".into(),
        actual: format!("something else as {place}"),
    }
}

/// The first of `steps` that can be made side by side: none reads or writes what one before it writes. None where there are no steps.
fn independent(steps: &[Step]) -> Option<&[Step]> {
    let mut written = HashSet::new();
    let free = |step: &&Step| {
        let reads_slot = |place: Place| matches!(place, Place::Slot(at) if written.contains(&at));
        // A digit picks any slot.
        let reads_any = matches!(step.kind, Kind::Digit(_) | Kind::Scan(_)) && matches!(step.b, Place::Slot(_)) && !written.is_empty();
        !(reads_any || reads_slot(step.a) || reads_slot(step.b)) && written.insert(step.to)
    };
    let count = steps.iter().take_while(free).count();
    (count > 0).then(|| &steps[..count])
}

/// What some outputs of one item rest on.
struct Sample {
    steps: Vec<Step>,
    outputs: Vec<Place>,
    slots: usize,
    /// Inputs of the item that are read, in the order of [`Sample::values`]'s first argument.
    inputs: Vec<u32>,
    /// Table entries that are read, in the order of its second.
    entries: Vec<u32>,
    digits: Vec<u16>,
}

impl Drop for Sample {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.digits);
        zeroize::Zeroize::zeroize(&mut self.entries);
    }
}

impl Sample {
    /// The sample of outputs, for an item with these digits.
    fn of(code: &Code, outputs: &[Place], digits: &[u16]) -> Self {
        let (steps, outputs) = (code.cone(outputs), outputs.to_vec());
        let mut sample = Self { steps, outputs, slots: code.slots, inputs: Vec::new(), entries: Vec::new(), digits: digits.to_vec() };
        let places = sample.steps.iter().flat_map(|step| [step.a, sample.second(step)]).chain(sample.outputs.iter().copied());
        let (mut inputs, mut entries) = (Vec::new(), Vec::new());
        for place in places {
            match place {
                Place::Input(at) => inputs.push(at),
                Place::Table(at) => entries.push(at),
                Place::Slot(_) | Place::Constant(_) => {}
            }
        }
        for list in [&mut inputs, &mut entries] {
            list.sort_unstable();
            list.dedup();
        }
        (sample.inputs, sample.entries) = (inputs, entries);
        sample
    }

    /// The only input, for a function of it.
    fn of_input() -> Self {
        Self { steps: Vec::new(), outputs: Vec::new(), slots: 0, inputs: vec![0], entries: Vec::new(), digits: Vec::new() }
    }

    /// Where the second factor of a step is.
    fn second(&self, step: &Step) -> Place {
        let digit = |window: u32| u32::from(self.digits.get(window as usize).copied().unwrap_or(0));
        match (step.kind, step.b) {
            (Kind::Digit(window) | Kind::Scan(window), Place::Slot(at)) => Place::Slot(at + digit(window)),
            (Kind::Digit(window) | Kind::Scan(window), Place::Table(at)) => Place::Table(at + digit(window)),
            (_, place) => place,
        }
    }

    /// The values of the outputs. Time depends on the values.
    fn values(&self, inputs: &[Integer], entries: &[Integer], modulus: &Integer) -> Vec<Integer> {
        let one = Integer::from(1) % modulus;
        let mut slots = vec![Integer::new(); self.slots];
        let find = |list: &[u32], at: u32| list.binary_search(&at).unwrap_or(0);
        let mut rest = &self.steps[..];
        while let Some(independent) = independent(rest) {
            let product = |step: &Step| {
                let at = |place: Place| match place {
                    Place::Input(at) => &inputs[find(&self.inputs, at)],
                    Place::Table(at) => &entries[find(&self.entries, at)],
                    Place::Slot(at) => &slots[at as usize],
                    Place::Constant(_) => &one,
                };
                Integer::from(at(step.a) * at(self.second(step))) % modulus
            };
            // Few products are made before other threads would have begun.
            let products: Vec<Integer> = independent.par_iter().with_min_len(16).map(product).collect();
            for (step, product) in independent.iter().zip(products) {
                slots[step.to as usize] = product;
            }
            rest = &rest[independent.len()..];
        }
        let value = |output: &Place| match *output {
            Place::Input(at) => inputs[find(&self.inputs, at)].clone(),
            Place::Table(at) => entries[find(&self.entries, at)].clone(),
            Place::Slot(at) => slots[at as usize].clone(),
            Place::Constant(_) => one.clone(),
        };
        let values = self.outputs.iter().map(value).collect();
        slots.iter_mut().for_each(wipe);
        values
    }
}

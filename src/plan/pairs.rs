//! Greedy extraction of common pairs (Paar 1997, for products instead of sums): many products of subsets of the same inputs.
//!
//! The pair of values that occurs together in the most subsets is multiplied once and replaced by its product everywhere; this repeats until no pair occurs
//! twice. What is left of each subset is multiplied by a balanced tree.

use super::schedule::{Graph, Value};

/// The subsets that a value is a factor of, one bit each.
struct Membership(Vec<u64>);

impl Membership {
    fn common(&self, other: &Self) -> u32 {
        self.0.iter().zip(&other.0).map(|(a, b)| (a & b).count_ones()).sum()
    }

    fn count(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    fn contains(&self, subset: usize) -> bool {
        self.0[subset / 64] >> (subset % 64) & 1 == 1
    }

    /// Moves the common subsets of both out of them.
    fn extract(&mut self, other: &mut Self) -> Self {
        let common: Vec<u64> = self.0.iter().zip(&other.0).map(|(a, b)| a & b).collect();
        for (word, (a, b)) in common.iter().zip(self.0.iter_mut().zip(&mut other.0)) {
            *a &= !word;
            *b &= !word;
        }
        Self(common)
    }
}

/// A value that may still be half of a common pair.
struct Candidate {
    value: Value,
    member: Membership,
    /// No other candidate shares more subsets with this one. Memberships only shrink, so an old bound stays true and is refreshed when it is reached.
    bound: u32,
    /// Position of the candidate that had the bound in common.
    partner: usize,
}

impl Candidate {
    fn is_alive(&self) -> bool {
        self.bound >= 2
    }
}

/// The product of every subset; none for an empty one. Input: the values of each subset, each at most once. Ties go to the older value, so equal subsets give
/// equal plans.
pub(super) fn products(graph: &mut Graph, subsets: &[Vec<Value>]) -> Vec<Option<Value>> {
    let mut values: Vec<Value> = subsets.iter().flatten().copied().collect();
    values.sort_unstable();
    values.dedup();
    let words = subsets.len().div_ceil(64);
    let mut candidates: Vec<Candidate> =
        values.iter().map(|&value| Candidate { value, member: Membership(vec![0; words]), bound: 0, partner: 0 }).collect();
    for (number, subset) in subsets.iter().enumerate() {
        for value in subset {
            if let Ok(at) = values.binary_search(value) {
                candidates[at].member.0[number / 64] |= 1 << (number % 64);
            }
        }
    }
    let mut alive: Vec<usize> = (0..candidates.len()).collect();
    for at in 0..candidates.len() {
        refresh(&mut candidates, &alive, at);
    }
    alive.retain(|&at| candidates[at].is_alive());
    // Positions ascend in `alive`; of equal bounds the first is taken.
    while let Some(&at) = alive.iter().max_by_key(|&&at| (candidates[at].bound, std::cmp::Reverse(at))) {
        let partner = candidates[at].partner;
        if candidates[at].member.common(&candidates[partner].member) < candidates[at].bound {
            refresh(&mut candidates, &alive, at);
            if !candidates[at].is_alive() {
                alive.retain(|&other| other != at);
            }
            continue;
        }
        let (low, high) = (at.min(partner), at.max(partner));
        let (head, tail) = candidates.split_at_mut(high);
        let member = head[low].member.extract(&mut tail[0].member);
        let value = graph.mul(head[low].value, tail[0].value);
        for at in [low, high] {
            if candidates[at].member.count() < 2 {
                candidates[at].bound = 0;
            }
        }
        alive.retain(|&at| candidates[at].is_alive());
        let new = candidates.len();
        let (mut bound, mut best) = (0, 0);
        for &at in &alive {
            let common = candidates[at].member.common(&member);
            if common > candidates[at].bound {
                candidates[at].bound = common;
                candidates[at].partner = new;
            }
            if common > bound {
                (bound, best) = (common, at);
            }
        }
        candidates.push(Candidate { value, member, bound, partner: best });
        if bound >= 2 {
            alive.push(new);
        }
    }
    (0..subsets.len()).map(|subset| graph.product(candidates.iter().filter(|c| c.member.contains(subset)).map(|c| c.value).collect())).collect()
}

/// Finds the candidate that shares the most subsets with the one at `at`.
fn refresh(candidates: &mut [Candidate], alive: &[usize], at: usize) {
    let (mut bound, mut partner) = (0, 0);
    for &other in alive.iter().filter(|&&other| other != at) {
        let common = candidates[at].member.common(&candidates[other].member);
        if common > bound {
            (bound, partner) = (common, other);
        }
    }
    candidates[at].bound = bound;
    candidates[at].partner = partner;
}

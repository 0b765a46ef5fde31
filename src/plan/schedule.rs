//! From a graph of products to a [`Program`]: drops what no output needs, orders so that few values are alive, recycles scratch slots.

use std::cmp::Reverse;

use super::{Op, Operand, Program};
use crate::error::Result;

/// A value of the graph: an input or, from `inputs` on, the result of a node.
pub(super) type Value = u32;

/// Most operations of a level: enough to fill two threads of eight lanes several times over, few enough that few values are alive at once.
const LEVEL_WIDTH: usize = 64;

/// Lanes that a level should fill: the fewest operations of a full level.
const LANES: usize = 8;

#[derive(Clone, Copy)]
enum Node {
    Mul(Value, Value),
    Sqr(Value),
    Table(Value, u32),
}

impl Node {
    fn sources(self) -> impl Iterator<Item = Value> {
        let (a, b) = match self {
            Self::Mul(a, b) => (a, Some(b)),
            Self::Sqr(a) | Self::Table(a, _) => (a, None),
        };
        std::iter::once(a).chain(b)
    }
}

/// A graph of products under construction. Nodes only refer to older values, so it has no cycles.
pub(super) struct Graph {
    inputs: usize,
    nodes: Vec<Node>,
}

impl Graph {
    pub(super) fn new(inputs: usize) -> Self {
        Self { inputs, nodes: Vec::new() }
    }

    fn push(&mut self, node: Node) -> Value {
        self.nodes.push(node);
        (self.inputs + self.nodes.len() - 1) as Value
    }

    /// a * b; a square when both are the same value.
    pub(super) fn mul(&mut self, a: Value, b: Value) -> Value {
        if a == b { self.sqr(a) } else { self.push(Node::Mul(a, b)) }
    }

    pub(super) fn sqr(&mut self, a: Value) -> Value {
        self.push(Node::Sqr(a))
    }

    pub(super) fn lookup(&mut self, a: Value, window: u32) -> Value {
        self.push(Node::Table(a, window))
    }

    /// a * b where a missing factor counts as 1.
    pub(super) fn mul_option(&mut self, a: Option<Value>, b: Option<Value>) -> Option<Value> {
        match (a, b) {
            (Some(a), Some(b)) => Some(self.mul(a, b)),
            (a, b) => a.or(b),
        }
    }

    /// Product of all values by a balanced tree; none for an empty list.
    pub(super) fn product(&mut self, mut values: Vec<Value>) -> Option<Value> {
        while values.len() > 1 {
            values = values.chunks(2).map(|pair| if let [a, b] = *pair { self.mul(a, b) } else { pair[0] }).collect();
        }
        values.first().copied()
    }

    /// Number of products so far, those that no output needs included.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Writes a program whose outputs are all or most of its values: every value keeps a slot of its own, every operation stands in the first level that it can.
    pub(super) fn finish_as_table(self, outputs: &[Value]) -> Result<Program> {
        let inputs = self.inputs;
        let mut level = vec![0usize; inputs + self.nodes.len()];
        for (node, content) in self.nodes.iter().enumerate() {
            level[inputs + node] = 1 + content.sources().map(|source| level[source as usize]).max().unwrap_or(0);
        }
        let mut order: Vec<usize> = (0..self.nodes.len()).collect();
        order.sort_by_key(|&node| level[inputs + node]);
        let op = |&node: &usize| {
            let dst = (inputs + node) as Operand;
            match self.nodes[node] {
                Node::Mul(a, b) => Op::Mul { dst, a, b },
                Node::Sqr(a) => Op::Sqr { dst, a },
                Node::Table(a, window) => Op::MulTable { dst, a, window },
            }
        };
        let ends = order.chunk_by(|a, b| level[inputs + *a] == level[inputs + *b]).scan(0, |end, chunk| {
            *end += chunk.len();
            Some(*end)
        });
        Program::new(inputs, order.iter().map(op).collect(), ends.collect(), outputs.to_vec(), 0, 0)
    }

    /// Writes the program by list scheduling. Of the operations that are ready those come first that would make the program longer by waiting, then the last
    /// readers of most values, so that few slots are in use, then those with the longest way to an output. A slot is free again from the level after its last
    /// reader.
    ///
    /// A level has at most [`LEVEL_WIDTH`] operations. Where a long chain bounds the number of levels from below, levels are made narrower, down to full lanes, so
    /// that the other operations fill the lanes beside the chain instead of running ahead of it and leaving it alone.
    pub(super) fn finish(self, outputs: &[Value], windows: usize, entries: usize) -> Result<Program> {
        let inputs = self.inputs;
        let node_of = |value: Value| (value as usize).checked_sub(inputs);
        // Height above the outputs; 0 marks a node that nothing needs. Users come after their sources, so one backward pass does.
        let mut height = vec![0u32; self.nodes.len()];
        let mut readers = vec![0u32; self.nodes.len()];
        for node in outputs.iter().filter_map(|&o| node_of(o)) {
            height[node] = height[node].max(1);
            readers[node] += 1;
        }
        let mut users = vec![Vec::new(); self.nodes.len()];
        let mut missing = vec![0u32; self.nodes.len()];
        for (node, content) in self.nodes.iter().enumerate().rev() {
            if height[node] == 0 {
                continue;
            }
            for source in content.sources().filter_map(node_of) {
                height[source] = height[source].max(height[node] + 1);
                readers[source] += 1;
                users[source].push(node);
                missing[node] += 1;
            }
        }
        let needed = height.iter().filter(|&&h| h > 0).count();
        let longest = height.iter().copied().max().unwrap_or(0).max(1) as usize;
        let width = (needed / longest / LANES * LANES).clamp(LANES, LEVEL_WIDTH);
        let mut ready: Vec<usize> = (0..self.nodes.len()).filter(|&n| height[n] > 0 && missing[n] == 0).collect();
        let mut slot_of: Vec<Operand> = vec![0; self.nodes.len()];
        let mut free: Vec<Operand> = Vec::new();
        let mut slots: Operand = 0;
        let mut ops = Vec::new();
        let mut level_ends: Vec<usize> = Vec::new();
        while !ready.is_empty() {
            let rank = |&node: &usize| {
                let freed = self.nodes[node].sources().filter_map(node_of).filter(|&source| readers[source] == 1).count();
                let is_late = height[node] as usize + level_ends.len() >= longest;
                (Reverse(is_late), Reverse(freed), Reverse(height[node]), node)
            };
            if ready.len() > width {
                ready.select_nth_unstable_by_key(width, rank);
            }
            let mut level: Vec<usize> = ready.drain(..width.min(ready.len())).collect();
            level.sort_unstable();
            for &node in &level {
                let dst = free.pop().unwrap_or_else(|| {
                    slots += 1;
                    inputs as Operand + slots - 1
                });
                let operand = |value: Value| node_of(value).map_or(value, |source| slot_of[source]);
                ops.push(match self.nodes[node] {
                    Node::Mul(a, b) => Op::Mul { dst, a: operand(a), b: operand(b) },
                    Node::Sqr(a) => Op::Sqr { dst, a: operand(a) },
                    Node::Table(a, window) => Op::MulTable { dst, a: operand(a), window },
                });
                slot_of[node] = dst;
            }
            level_ends.push(ops.len());
            for &node in &level {
                for source in self.nodes[node].sources().filter_map(node_of) {
                    readers[source] -= 1;
                    if readers[source] == 0 {
                        free.push(slot_of[source]);
                    }
                }
                for &user in &users[node] {
                    missing[user] -= 1;
                    if missing[user] == 0 {
                        ready.push(user);
                    }
                }
            }
        }
        let outputs = outputs.iter().map(|&value| node_of(value).map_or(value, |node| slot_of[node])).collect();
        Program::new(inputs, ops, level_ends, outputs, windows, entries)
    }
}

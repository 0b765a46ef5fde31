// Runs operations of a program. A team takes one strand of one item: at each step it reads two residues, multiplies them and writes one.
// Reads params: count (teams), items, first (operation), steps, inputs and slots (per item), windows (digits per item; 0: all items share theirs),
// entries (of a scanned table), bases, minus_inverse. digits: two in a word.
// code: operations (kind, a, b, slot) at 4 (first + step * strands + strand). constants: the modulus, then residues.
//@include prelude
//@include team
//@if double
//@include split
//@end

const SPACE: u32 = 29u;
const PLACE: u32 = (1u << SPACE) - 1u;
const INPUT: u32 = 0u;
const SLOT: u32 = 1u;
const CONSTANT: u32 = 2u;
const TABLE: u32 = 3u;
// Kinds: the second factor is named, or picked by the item's digit (number kind >> 8), or by the digit with every entry read; or the first factor is an integer in
// two parts, high and low.
const DIGIT: u32 = 1u;
const SCAN: u32 = 2u;
const ENTER: u32 = 3u;

@compute @workgroup_size(GROUP)
fn machine({{BUILTINS}}) {
    let team = team_of({{TEAM_ARGUMENTS}});
    let lane = team.lane;
    let base = team.base;
    let after = base + (lane + 1u) % T;
    let before = base + (lane + T - 1u) % T;
    let live = team.number < params.count;
    let number = min(team.number, params.count - 1u);
    let item = number % params.items;
    let strand = number / params.items;
    let strands = params.count / params.items;
    let minus_inverse = {{MINUS_INVERSE}};
    let first_lane_mask = select(Limb(0), MASK, lane == 0u);
    let first_slot = params.slot_base + item * params.slots * ROW + lane;
    let first_input = params.input_base + item * params.inputs * ROW + lane;
    let n$p = constants[$pu * T + lane];
    let blocks = T;
    //@if subgroup
    let steps = select(0u, params.steps, team.wanted);
    //@end
    //@if workgroup
    let steps = params.steps;
    //@end
    for (var step = 0u; step < steps; step++) {
        let at = 4u * (params.first + step * strands + strand);
        let kind = code[at];
        var a$p: Limb;
        //@if square
        var c$p: Limb;
        //@end
        let a_space = code[at + 1u] >> SPACE;
        let a_place = (code[at + 1u] & PLACE) * ROW;
        if (a_space == SLOT) {
            let source = first_slot + a_place;
            a$p = slots[source + $pu * T];
            //@if square
            c$p = slots[source + S + $pu * T];
            //@end
        } else if (a_space == INPUT) {
            let source = first_input + a_place;
            a$p = inputs[source + $pu * T];
            //@if square
            c$p = inputs[source + S + $pu * T];
            //@end
        } else {
            let source = S + a_place + lane;
            a$p = constants[source + $pu * T];
            //@if square
            c$p = constants[source + S + $pu * T];
            //@end
        }
        var b$p: Limb;
        //@if square
        var d$p: Limb;
        //@end
        let b_space = code[at + 2u] >> SPACE;
        var b_place = code[at + 2u] & PLACE;
        var digit = 0u;
        if ((kind & 3u) == DIGIT || (kind & 3u) == SCAN) {
            let index = item * params.windows + (kind >> 8u);
            digit = (digits[index / 2u] >> (16u * (index % 2u))) & 0xffffu;
        }
        if ((kind & 3u) == SCAN) {
            // Every entry is read, whatever the digit.
            b$p = Limb(0);
            //@if square
            d$p = Limb(0);
            //@end
            for (var entry = 0u; entry < params.entries; entry++) {
                let source = first_slot + (b_place + entry) * ROW;
                let mask = select(Limb(0), ~Limb(0), entry == digit);
                b$p |= slots[source + $pu * T] & mask;
                //@if square
                d$p |= slots[source + S + $pu * T] & mask;
                //@end
            }
        } else if (b_space == SLOT) {
            let source = first_slot + (b_place + digit) * ROW;
            b$p = slots[source + $pu * T];
            //@if square
            d$p = slots[source + S + $pu * T];
            //@end
        } else if (b_space == INPUT) {
            let source = first_input + b_place * ROW;
            b$p = inputs[source + $pu * T];
            //@if square
            d$p = inputs[source + S + $pu * T];
            //@end
        } else if (b_space == TABLE) {
            let source = params.table_base + (b_place + digit) * ROW + lane;
            b$p = table[source + $pu * T];
            //@if square
            d$p = table[source + S + $pu * T];
            //@end
        } else {
            let source = S + b_place * ROW + lane;
            b$p = constants[source + $pu * T];
            //@if square
            d$p = constants[source + S + $pu * T];
            //@end
        }
        var start$p = Limb(0);
        //@if square
        if ((kind & 3u) == ENTER) {
            start$p = c$p;
            c$p = Limb(0);
        }
        //@end
        //@include product
        //@include normalise t
        //@if square
        //@include normalise u
        //@end
        if (live) {
            let to = first_slot + code[at + 3u] * ROW;
            slots[to + $pu * T] = Limb(t$p);
            //@if square
            slots[to + S + $pu * T] = Limb(u$p);
            //@end
        }
    }
}

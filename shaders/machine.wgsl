// Runs operations of a program. A team takes one strand of one item: at each step it reads two residues, multiplies them and writes one.
// slots: constants of modulus after modulus, then the inputs of item after item, then the slots of item after item, each a row. code: operations (kind, a, b, slot)
// at 4 (first + step * strands + strand). digits: two in a word.
// Reads params: count (teams), items, first (operation), steps, inputs and slots (per item), input_base and slot_base (rows before them), windows (digits per
// item; 0: all items share theirs), entries (of a scanned table), table_base (limbs), together (1 when all teams run the same operations), first_item (number of
// item 0 among those of all moduli), per_modulus (items of each modulus), constant_rows and table_rows (of each modulus).
//@include prelude
//@include team
//@if double
//@include split
//@end

const SPACE: u32 = 29u;
const PLACE: u32 = (1u << SPACE) - 1u;
const INPUT: u32 = 0u;
const SLOT: u32 = 1u;
const TABLE: u32 = 3u;
// Kinds: the second factor is named, or the item's digit (number kind >> 8) is added to its place, or that with every entry read; or the first factor is an integer in
// two parts, high and low.
const ENTER: u32 = 3u;
// Beside a kind: the factors are the same.
const SQUARE: u32 = 4u;
//@if squares
//@if workgroup
var<workgroup> first_kind: u32;
//@end
//@end

// The row of an operand: of the table's for an entry of it, else of the slots'.
fn row_of(operand: u32, item: u32, modulus: u32) -> u32 {
    let space = operand >> SPACE;
    let of_item = select(params.slot_base + item * params.slots, params.input_base + item * params.inputs, space == INPUT);
    let of_modulus = modulus * select(params.constant_rows, params.table_rows, space == TABLE);
    return (operand & PLACE) + select(of_modulus, of_item, space <= SLOT);
}

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
    let modulus = (params.first_item + item) / params.per_modulus;
    let home = modulus * (S + 1u);
    let minus_inverse = constants[home + S];
    let first_lane_mask = select(Limb(0), MASK, lane == 0u);
    let n$p = constants[home + $pu * T + lane];
    //@if subgroup
    let steps = select(0u, params.steps, team.wanted);
    //@end
    //@if workgroup
    let steps = params.steps;
    //@end
    for (var step = 0u; step < steps; step++) {
        let at = 4u * (params.first + step * strands + strand);
        let kind = code[at];
        let first_row = row_of(code[at + 1u], item, modulus) * ROW + lane;
        var a$p = slots[first_row + $pu * T];
        //@if square
        var c$p = slots[first_row + S + $pu * T];
        //@end
        //@if named
        let second_row = row_of(code[at + 2u], item, modulus) * ROW + lane;
        let b$p = slots[second_row + $pu * T];
        //@if square
        let d$p = slots[second_row + S + $pu * T];
        //@end
        //@end
        //@if picked
        let index = item * params.windows + (kind >> 8u);
        let digit = select(0u, (digits[index / 2u] >> (16u * (index % 2u))) & 0xffffu, (kind & 3u) != 0u);
        let in_table = code[at + 2u] >> SPACE == TABLE;
        let second_row = (row_of(code[at + 2u], item, modulus) + digit) * ROW + lane;
        var b$p: Limb;
        //@if square
        var d$p: Limb;
        //@end
        if (in_table) {
            let entry = params.table_base + second_row;
            b$p = table[entry + $pu * T];
            //@if square
            d$p = table[entry + S + $pu * T];
            //@end
        } else {
            b$p = slots[second_row + $pu * T];
            //@if square
            d$p = slots[second_row + S + $pu * T];
            //@end
        }
        //@end
        //@if scanned
        // Every entry is read, whatever the digit.
        let index = item * params.windows + (kind >> 8u);
        let is_scan = (kind & 3u) != 0u;
        let digit = select(0u, (digits[index / 2u] >> (16u * (index % 2u))) & 0xffffu, is_scan);
        let entries = select(1u, params.entries, is_scan);
        let second_row = row_of(code[at + 2u], item, modulus) * ROW + lane;
        var b$p = Limb(0);
        //@if square
        var d$p = Limb(0);
        //@end
        for (var entry = 0u; entry < entries; entry++) {
            let source = second_row + entry * ROW;
            let mask = select(Limb(0), ~Limb(0), entry == digit);
            b$p |= slots[source + $pu * T] & mask;
            //@if square
            d$p |= slots[source + S + $pu * T] & mask;
            //@end
        }
        //@end
        var start$p = Limb(0);
        //@if square
        if ((kind & 3u) == ENTER) {
            start$p = c$p;
            c$p = Limb(0);
        }
        //@end
        var t$p: Wide;
        //@if square
        var u$p: Wide;
        //@end
        //@if squares
        // All teams are at the same operation, so all of them take the same way; the compiler has
        // to be told. A browser also asks for a proof, since the products wait for each other: what
        // all have read from one word of the workgroup is one.
        //@if subgroup
        let shared_kind = subgroupBroadcastFirst(kind);
        //@end
        //@if workgroup
        if (me == 0u) {
            first_kind = kind;
        }
        let shared_kind = workgroupUniformLoad(&first_kind);
        //@end
        if (params.together != 0u && (shared_kind & SQUARE) != 0u) {
            //@include product squaring
        } else {
            //@include product
        }
        //@end
        //@if no_squares
        //@include product
        //@end
        //@include normalise t
        //@if square
        //@include normalise u
        //@end
        if (live) {
            let to = (params.slot_base + item * params.slots + code[at + 3u]) * ROW + lane;
            slots[to + $pu * T] = Limb(t$p);
            //@if square
            slots[to + S + $pu * T] = Limb(u$p);
            //@end
        }
    }
}

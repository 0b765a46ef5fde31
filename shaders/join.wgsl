// From base-n digits to integers, x0 + x1 n as 2 S limbs in order; one half is only put in order. Reads params: count (teams, one for each number), bases,
// first_item and per_modulus as machine.wgsl.
//@include prelude
//@include team
//@if double
//@include split
//@end

@compute @workgroup_size(GROUP)
fn join({{BUILTINS}}) {
    let team = team_of({{TEAM_ARGUMENTS}});
    let lane = team.lane;
    let base = team.base;
    let after = base + (lane + 1u) % T;
    let before = base + (lane + T - 1u) % T;
    let live = team.number < params.count;
    let number = min(team.number, params.count - 1u);
    let source = params.input_base + number * ROW + lane;
    let to = params.slot_base + number * ROW + lane * L;
    //@if plain
    if (live) {
        slots[to + $pu] = inputs[source + $pu * T];
    }
    //@end
    //@if square
    let home = (params.first_item + number) / params.per_modulus * (S + 1u);
    let n$p = constants[home + $pu * T + lane];
    let c$p = inputs[source + S + $pu * T];
    var t$p = Wide(inputs[source + $pu * T]);
    var low$p = Limb(0);
    //@if double
    let m$p = f64(Wide(n$p));
    //@end
    for (var block = 0u; block < T; block++) {
        //@rows
        {
            //@if integer
            let y = Wide(from_lane(c$r, base + block));
            t$s += Wide(n$p) * y;
            //@end
            //@if double
            let y = f64(Wide(from_lane(c$r, base + block)));
            var t_top = Wide(0);
            { let h = upper(m$p, y); t$t += upper_value(h); t$s += lower_value(m$p, y, h); }
            //@end
            // The lowest limb is final and leaves; nothing comes in at the top.
            let lowest = Limb(t$r) & MASK;
            t$n += t$r >> W;
            let done = from_lane(lowest, base);
            low$r = select(low$r, done, lane == block);
            let passed = from_lane(lowest, after);
            t$r = select(Wide(passed), Wide(0), lane == T - 1u);
            //@if double
            t$r += t_top;
            //@end
        }
        //@end
    }
    //@include normalise t
    if (live) {
        slots[to + $pu] = low$p;
        slots[to + S + $pu] = Limb(t$p);
    }
    //@end
}

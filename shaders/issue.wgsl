// Products of limbs and their sums, L by L at a time, and next to nothing else: what the multipliers give at most. slots: for each invocation a limb of the sums.
// Reads params: count (invocations), steps.
//@include prelude
//@if double
//@include split
//@end

@compute @workgroup_size(GROUP)
fn issue(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) place: u32) {
    let number = (group.y * groups.x + group.x) * GROUP + place;
    if (number >= params.count) {
        return;
    }
    let a$p = (Limb(number) * Limb(2654435761u) + Limb($pu)) & MASK;
    var t$p = Wide(a$p);
    //@if double
    let x$p = f64(Wide(a$p));
    //@end
    for (var step = 0u; step < params.steps; step++) {
        // Each sum gives the next factor, which is not known before: no compiler can take the products out of the loop.
        //@rows
        {
            let y = Wide(Limb(t$r) & MASK);
            //@if integer
            t$s += Wide(a$p) * y;
            //@end
            //@if double
            let z = f64(y);
            { let h = upper(x$p, z); t$s += upper_value(h) + lower_value(x$p, z, h); }
            //@end
        }
        //@end
    }
    var sum = Limb(0);
    sum ^= Limb(t$p);
    slots[number] = sum;
}

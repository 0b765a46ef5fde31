// Cuts integers into limbs. Reads params: count (limbs of all integers), inputs (32-bit words of an integer), slot_base. code: the words.
// An integer below R^2 becomes two halves, the upper limbs first: the form that an operation of kind ENTER takes.
//@include prelude

@compute @workgroup_size(GROUP)
fn unpack(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) place: u32) {
    let number = (group.y * groups.x + group.x) * GROUP + place;
    if (number >= params.count) {
        return;
    }
    let integer = number / ROW;
    let within = number % ROW;
    let half = within / S;
    // Memory order within a half: limb lane L + j at word j T + lane.
    let limb = (within % T) * L + within % S / T;
    let bit = ((HALVES - 1u - half) * S + limb) * W;
    let first = integer * params.inputs;
    var value = Limb(0);
    for (var word = 0u; word < {{SPAN}}u; word++) {
        let index = bit / 32u + word;
        let up = 32u * word;
        let down = bit % 32u;
        if (index < params.inputs) {
            let bits = Limb(code[first + index]);
            if (word == 0u) {
                value = bits >> down;
            } else if (up - down < {{LIMB_BITS}}u) {
                value |= bits << (up - down);
            }
        }
    }
    slots[params.slot_base + number] = value & MASK;
}

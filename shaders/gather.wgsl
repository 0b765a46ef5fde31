// Copies residues. Reads params: count (words), bases, first. code: pairs (from, to) of residues, at 2 (first + pair).
//@include prelude

@compute @workgroup_size(GROUP)
fn gather(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) place: u32) {
    let number = (group.y * groups.x + group.x) * GROUP + place;
    if (number >= params.count) {
        return;
    }
    let pair = 2u * (params.first + number / ROW);
    let word = number % ROW;
    slots[params.slot_base + code[pair + 1u] * ROW + word] = inputs[params.input_base + code[pair] * ROW + word];
}

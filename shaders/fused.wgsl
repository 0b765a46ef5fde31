// Whether fma rounds once. inputs: pairs of doubles (x, y) as bits; slots: for each the bits of fma(x, y, -(x y)) and of the two parts of x y that split_f64.wgsl
// makes. Reads params: count (pairs).
//@include prelude
//@include split

@compute @workgroup_size(GROUP)
fn fused(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) place: u32) {
    let number = (group.y * groups.x + group.x) * GROUP + place;
    if (number >= params.count) {
        return;
    }
    let x = bitcast<f64>(inputs[2u * number]);
    let y = bitcast<f64>(inputs[2u * number + 1u]);
    let h = upper(x, y);
    slots[3u * number] = bitcast<u64>(fma(x, y, -(x * y)));
    slots[3u * number + 1u] = Limb(upper_value(h));
    slots[3u * number + 2u] = Limb(lower_value(x, y, h));
}

// Lanes of a team are neighbours in a subgroup, whose order within the workgroup nothing promises: teams are counted by subgroup.
struct Team {
    number: u32,
    lane: u32,
    base: u32,
    // Whether any team of this subgroup has work: the others leave the loop of steps out.
    wanted: bool,
}

fn team_of(group: vec3<u32>, groups: vec3<u32>, subgroup: u32, subgroup_size: u32, lane: u32) -> Team {
    let first = (group.y * groups.x + group.x) * (GROUP / T) + subgroup * (subgroup_size / T);
    return Team(first + lane / T, lane % T, lane - lane % T, first < params.count);
}

// The value of another lane of the team, given as place: base + lane.
fn from_lane(value: Limb, place: u32) -> Limb {
    return subgroupShuffle(value, place);
}

fn wide_from_lane(value: Wide, place: u32) -> Wide {
    return subgroupShuffle(value, place);
}

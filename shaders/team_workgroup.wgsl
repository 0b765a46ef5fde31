// Lanes of a team are neighbours in the workgroup and exchange words through its memory.
struct Team {
    number: u32,
    lane: u32,
    base: u32,
    wanted: bool,
}

// Two rooms in turn, so that one barrier is enough: nobody writes to a room again before all have passed the barrier of the other one.
var<workgroup> exchange: array<Limb, 2u * GROUP>;
var<workgroup> wide_exchange: array<Wide, 2u * GROUP>;
var<private> me: u32;
var<private> room: u32;

fn team_of(group: vec3<u32>, groups: vec3<u32>, place: u32) -> Team {
    me = place;
    room = 0u;
    let first = (group.y * groups.x + group.x) * (GROUP / T);
    return Team(first + place / T, place % T, place - place % T, true);
}

fn from_lane(value: Limb, place: u32) -> Limb {
    room = GROUP - room;
    exchange[room + me] = value;
    workgroupBarrier();
    return exchange[room + place];
}

fn wide_from_lane(value: Wide, place: u32) -> Wide {
    room = GROUP - room;
    wide_exchange[room + me] = value;
    workgroupBarrier();
    return wide_exchange[room + place];
}

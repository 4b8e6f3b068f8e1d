//! Runs a model and tells what came of it.

use std::{collections::HashMap, fmt::Debug, hash::Hash, time::Instant};

use stateright::{Checker, Expectation, HasDiscoveries, Model, Path};

use super::world::{Setting, World};

/// A model that can be explored to its end.
pub trait Explored: Model<State: Explorable, Action: Explorable> + Clone + Send + Sync + 'static {}
impl<M: Model<State: Explorable, Action: Explorable> + Clone + Send + Sync + 'static> Explored for M {}

/// What states and actions are like.
pub trait Explorable: Clone + Debug + PartialEq + Send + Sync + 'static {}
impl<T: Clone + Debug + PartialEq + Send + Sync + 'static> Explorable for T {}

/// Explores everything, prints what was seen, and asserts that every rule holds and everything is reached.
pub fn holds<M: Explored<State: Hash>>(name: &str, model: M) {
    let begun = Instant::now();
    let checker = model.checker().spawn_bfs().join();
    assert!(checker.is_done(), "{name} was explored to its end");
    let found = checker.discoveries();
    let properties = checker.model().properties();
    let expected = |expectation: &Expectation, name: &str| match expectation {
        Expectation::Always | Expectation::Eventually => !found.contains_key(name),
        Expectation::Sometimes => found.contains_key(name),
    };
    let violated: Vec<&str> =
        properties.iter().filter(|it| !expected(&it.expectation, it.name)).map(|it| it.name).collect();
    println!(
        "{name}: {} states, {} of them unique, depth {}, {} properties, {} violations, {:.1} s",
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth(),
        properties.len(),
        violated.len(),
        begun.elapsed().as_secs_f32(),
    );
    if let Some(path) = violated.first().and_then(|name| found.get(name)) {
        tell(path);
    }
    assert!(violated.is_empty(), "{name}: {violated:?}");
}

fn tell<S: Debug + Clone + PartialEq, A: Debug + Clone + PartialEq>(path: &Path<S, A>) {
    for (state, action) in path.clone().into_vec() {
        println!("    {state:?}\n  {action:?}");
    }
}

/// The length of the shortest way to break this rule.
pub fn broken_in<M: Explored<State: Hash>>(model: &M, rule: &'static str) -> Option<usize> {
    let mut shortest = search(model, rule, usize::MAX)?;
    // what is found first is seldom the shortest: the search goes on until its block is done
    while let Some(shorter) = search(model, rule, shortest + 1) {
        shortest = shorter;
    }
    Some(shortest)
}

fn search<M: Explored<State: Hash>>(model: &M, rule: &'static str, below: usize) -> Option<usize> {
    let one = HasDiscoveries::AllOf([rule].into());
    let checker = model.clone().checker().finish_when(one).target_max_depth(below).spawn_bfs().join();
    checker.discovery(rule).map(|path| path.into_actions().len())
}

/// Explores everything once more, and tells from how many states no way leads to an end without another fault or
/// wish, and one of them.
pub fn stuck(set: &Setting) -> (usize, usize, Option<World>) {
    let Graph { worlds, settled, mut steps } = Graph::of(set);
    steps.sort_unstable();
    let mut ends = settled.clone();
    let mut open: Vec<u32> = (0..).zip(&settled).filter(|(_, settled)| **settled).map(|(n, _)| n).collect();
    while let Some(to) = open.pop() {
        let begin = steps.partition_point(|step| step.0 < to);
        for (_, from) in steps[begin..].iter().take_while(|step| step.0 == to) {
            if !std::mem::replace(&mut ends[*from as usize], true) {
                open.push(*from);
            }
        }
    }
    let mut left = ends.iter().zip(worlds).filter(|(ends, _)| !**ends).map(|(_, world)| world);
    let one = left.next();
    (ends.len(), usize::from(one.is_some()) + left.count(), one)
}

/// Every world, whether it is at an end, and the steps back that take no fault and no person.
struct Graph {
    worlds: Vec<World>,
    settled: Vec<bool>,
    steps: Vec<(u32, u32)>,
}

impl Graph {
    fn of(set: &Setting) -> Self {
        let mut known = HashMap::from([(World::new(set), 0_u32)]);
        let mut graph = Self { worlds: vec![World::new(set)], settled: Vec::new(), steps: Vec::new() };
        let mut actions = Vec::new();
        while let Some(world) = graph.worlds.get(graph.settled.len()).cloned() {
            let from = u32::try_from(graph.settled.len()).expect("there are fewer");
            graph.settled.push(world.settled());
            set.actions(&world, &mut actions);
            for next in actions.drain(..).filter_map(|action| set.next_state(&world, action)) {
                let unforced = next.faults == world.faults && next.people == world.people;
                let to = *known.entry(next).or_insert_with_key(|next| {
                    graph.worlds.push(next.clone());
                    u32::try_from(graph.worlds.len() - 1).expect("there are fewer")
                });
                if unforced {
                    graph.steps.push((to, from));
                }
            }
        }
        graph
    }
}

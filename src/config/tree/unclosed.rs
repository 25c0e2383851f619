//! Which block lacks its `}`: told by keywords that cannot stand where they do, and by indentation.

use super::{NONE, Tree};
use crate::config::diagnostics::Diagnostic;
use crate::config::schema::{Context, schema};
use crate::config::source::{Position, SourceMap, Span};

/// A block without `}`.
#[derive(Clone, Copy, Debug)]
pub(super) struct MissingBrace {
    /// The block.
    pub(super) block: u32,
    /// The `}` that closed it although it was meant for an outer block.
    taken: Option<Position>,
    /// A statement in it that belongs further out.
    witness: Option<Witness>,
}

/// A statement that belongs to an outer block.
#[derive(Clone, Copy, Debug)]
struct Witness {
    node: u32,
    /// The block it stands in.
    within: u32,
    /// The block it belongs to.
    belongs: Context,
}

/// What a block may hold.
#[derive(Clone, Copy, Debug)]
enum Content {
    Keywords(Context),
    Entries,
    Unknown,
}

/// Finds the block that was not closed, if blocks are `open` at the end, outermost first.
pub(super) fn find(tree: &Tree, open: &[u32], sources: &SourceMap) -> Option<MissingBrace> {
    let (&outermost, &innermost) = (open.first()?, open.last()?);
    let search = Search { tree, open, sources, indented: is_indented(tree, sources) };
    let witness = search.witness(outermost, &mut vec![Content::Keywords(Context::Root)]);
    // The first `}` that stands left of where its block began was meant for an outer one.
    let suspects = (outermost..).zip(tree.nodes.get(outermost as usize..)?);
    let taken = suspects
        .filter(|(node, _)| search.ends_left(*node))
        .filter_map(|(node, block)| Some((block.close?, node)))
        .min();
    let start = |witness: Witness| tree.nodes.get(witness.node as usize).map(|node| node.text.start);
    Some(match (taken, witness) {
        (Some((close, block)), witness)
            if witness.and_then(start).is_none_or(|start| close < start)
                || witness.is_some_and(|witness| witness.within == block) =>
        {
            MissingBrace { block, taken: Some(close), witness }
        }
        (_, Some(witness)) => MissingBrace { block: witness.within, taken: None, witness: Some(witness) },
        (_, None) => MissingBrace { block: innermost, taken: None, witness: None },
    })
}

impl MissingBrace {
    /// The report.
    pub(super) fn describe(&self, tree: &Tree, open: &[u32], sources: &SourceMap) -> Diagnostic {
        let text = |node: u32| tree.nodes.get(node as usize).map(|node| node.text);
        let name = tree.keyword(self.block, sources);
        let mut diagnostic = Diagnostic::error(
            "missing-brace",
            format!("the block `{name}` is not closed: its `}}` is missing"),
        )
        .label("the block begins here");
        diagnostic.span = text(self.block);
        if let Some(close) = self.taken {
            diagnostic = diagnostic
                .related(Span { start: close, length: 1 }, "this `}` seems meant for an outer block");
        }
        if let Some(witness) = self.witness {
            let keyword = tree.keyword(witness.node, sources);
            let place = witness.belongs.phrase();
            if let Some(at) = text(witness.node) {
                let label = format!("`{keyword}` belongs {place}: a block is still open here");
                diagnostic = diagnostic.related(at, label);
            }
        }
        let outermost = open.first().copied().and_then(text);
        if let Some(outermost) = outermost {
            if self.block != open.first().copied().unwrap_or(NONE) {
                diagnostic = diagnostic.related(outermost, "so this block goes on to the end of the file");
            }
            diagnostic = diagnostic.note(format!(
                "the block `{}` is ignored, with everything in it up to the end of the file",
                sources.text(outermost)
            ));
        }
        match open.len() {
            1 => diagnostic.help("add the missing `}`"),
            count => diagnostic.help(format!("add the missing `}}`: {count} blocks are open at the end")),
        }
    }
}

struct Search<'a> {
    tree: &'a Tree,
    open: &'a [u32],
    sources: &'a SourceMap,
    /// Indentation follows the blocks.
    indented: bool,
}

impl Search<'_> {
    /// The first statement in a block that belongs further out. `path` is what the blocks around it hold.
    fn witness(&self, block: u32, path: &mut Vec<Content>) -> Option<Witness> {
        let name = self.tree.keyword(block, self.sources);
        let content = match path.last() {
            Some(Content::Keywords(context)) => match schema().find(*context, name) {
                Some(keyword) => keyword.opens.map_or(Content::Entries, Content::Keywords),
                None => Content::Unknown,
            },
            _ => Content::Unknown,
        };
        let doubtful = self.open.contains(&block) || self.ends_left(block);
        path.push(content);
        let mut next = self.tree.nodes.get(block as usize).map_or(NONE, |node| node.first_child);
        let mut found = None;
        while let (None, Some(node)) = (found, self.tree.nodes.get(next as usize)) {
            let word = self.tree.keyword(next, self.sources);
            let fits = match content {
                Content::Keywords(context) => schema().find(context, word).is_some(),
                Content::Entries => false,
                Content::Unknown => true,
            };
            if doubtful && !fits {
                let outer = path.iter().rev().skip(1).find_map(|outer| match outer {
                    Content::Keywords(context) => schema().find(*context, word).map(|_| *context),
                    _ => None,
                });
                found = outer.map(|belongs| Witness { node: next, within: block, belongs });
            }
            if found.is_none() && node.open.is_some() {
                found = self.witness(next, path);
            }
            next = node.next;
        }
        path.pop();
        found
    }

    /// Whether a block's `}` stands left of where the block began.
    fn ends_left(&self, node: u32) -> bool {
        self.indented && ends_left(self.tree, node, self.sources) == Some(true)
    }
}

/// Blanks before a place that is the first on its line.
fn indentation(sources: &SourceMap, position: Position) -> Option<usize> {
    let location = sources.location(sources.written(Span { start: position, length: 0 }))?;
    let blanks = location.text.len() - location.text.trim_start().len();
    (blanks == location.start).then_some(blanks)
}

/// `None`: the block is open, or begins or ends in the middle of a line.
fn ends_left(tree: &Tree, node: u32, sources: &SourceMap) -> Option<bool> {
    let node = tree.nodes.get(node as usize)?;
    let (begin, end) = (indentation(sources, node.text.start)?, indentation(sources, node.close?)?);
    Some(end < begin)
}

/// Whether most blocks end where they begin.
fn is_indented(tree: &Tree, sources: &SourceMap) -> bool {
    let count = u32::try_from(tree.nodes.len()).unwrap_or(NONE);
    let (mut left, mut closed) = (0_usize, 0_usize);
    for ends_left in (0..count).filter_map(|node| ends_left(tree, node, sources)) {
        closed += 1;
        left += usize::from(ends_left);
    }
    left <= 3 || left * 2 <= closed
}

#[cfg(test)]
mod tests {
    use crate::config::diagnostics::Style;
    use crate::config::{FakeHost, LoadOptions, load};

    /// The only error of a text, and the line its block begins in.
    fn only_error(text: &str) -> (u32, String) {
        let loaded = load(&FakeHost::with_file("k", text), "k", &LoadOptions::default());
        let rendered = loaded.render(Style::default());
        let errors: Vec<_> = loaded.diagnostics.iter().filter(|d| d.status.is_some()).collect();
        assert_eq!(errors.len(), 1, "{rendered}");
        assert_eq!((loaded.exit_code, loaded.usable), (5, true), "{rendered}");
        let span = errors[0].span.unwrap();
        (loaded.sources.location(span).unwrap().line, rendered)
    }

    const NEXT: &str = "vrrp_instance B {\n    interface eth1\n    virtual_router_id 4\n}\n\
                        vrrp_instance C {\n    interface eth1\n    virtual_router_id 5\n}\n";

    #[test]
    fn an_inner_block_that_took_the_brace_of_the_outer_one() {
        let text = format!(
            "vrrp_instance A {{\n    interface eth0\n    virtual_router_id 3\n    virtual_ipaddress {{\n        192.0.2.9\n}}\n{NEXT}"
        );
        let (line, rendered) = only_error(&text);
        assert_eq!(line, 4);
        assert!(rendered.contains("`vrrp_instance` belongs outside all blocks"), "{rendered}");
        assert!(rendered.contains("this `}` seems meant for an outer block"), "{rendered}");
    }

    #[test]
    fn a_list_that_goes_on_with_keywords_of_its_block() {
        let text = format!(
            "vrrp_instance A {{\n    interface eth0\n    virtual_router_id 3\n    virtual_ipaddress {{\n        192.0.2.9\n    priority 100\n    track_interface {{\n        eth1\n    }}\n}}\n{NEXT}"
        );
        let (line, rendered) = only_error(&text);
        assert_eq!(line, 4);
        assert!(rendered.contains("`priority` belongs in `vrrp_instance`"), "{rendered}");
    }

    #[test]
    fn an_outer_block_without_end_and_a_file_without_indentation() {
        let text = format!("vrrp_instance A {{\n    interface eth0\n    virtual_router_id 3\n{NEXT}");
        assert_eq!(only_error(&text).0, 1);
        let flat = format!(
            "vrrp_instance A {{\ninterface eth0\nvirtual_router_id 3\nvirtual_ipaddress {{\n192.0.2.9\n}}\n{NEXT}"
        );
        assert_eq!(only_error(&flat.replace("    ", "")).0, 1);
    }

    #[test]
    fn a_checker_that_took_the_brace_of_its_server() {
        let text = "virtual_server 192.0.2.1 80 {\n    lvs_sched rr\n    lvs_method NAT\n    protocol TCP\n    \
                    real_server 192.0.2.2 80 {\n        TCP_CHECK {\n            connect_timeout 3\n    }\n    \
                    real_server 192.0.2.3 80 {\n        TCP_CHECK {\n        }\n    }\n}\n";
        let (line, rendered) = only_error(text);
        assert_eq!(line, 6, "{rendered}");
    }

    #[test]
    fn several_open_blocks_are_counted() {
        let (line, rendered) = only_error("vrrp_instance A {\n    virtual_ipaddress {\n        192.0.2.9\n");
        assert_eq!(line, 2);
        assert!(rendered.contains("2 blocks are open at the end"), "{rendered}");
    }

    #[test]
    fn a_brace_too_many_is_told_with_the_block_it_closed_too_early() {
        let (line, rendered) = only_error(
            "vrrp_instance A {\n    interface eth0\n    virtual_router_id 3\n    virtual_ipaddress {\n        192.0.2.9\n    }\n    }\n    priority 100\n    track_interface {\n        eth1\n    }\n}\n",
        );
        assert_eq!(line, 12);
        assert!(rendered.contains("`vrrp_instance A` was closed here"), "{rendered}");
    }

    #[test]
    fn a_block_without_its_opening_brace_is_one_error() {
        assert_eq!(
            only_error(
                "vrrp_instance A\n    interface eth0\n    virtual_ipaddress {\n        192.0.2.9\n    }\n}\n"
            )
            .0,
            1
        );
        let text = "vrrp_instance A {\n    interface eth0\n    virtual_router_id 3\n    virtual_ipaddress\n        192.0.2.9\n        192.0.2.10\n    }\n";
        assert_eq!(only_error(text).0, 4);
    }
}

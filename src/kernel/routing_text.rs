//! Routes and rules in words, as `ip` takes them.

use core::fmt;

use super::{NextHop, NextHops, ROUTE_PROTOCOL, Route, RouteTable, RouteType, Rule, RuleAction};

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind != RouteType::Unicast {
            write!(f, "{} ", self.kind.keyword())?;
        }
        if self.destination.length() == 0 {
            f.write_str("default")?;
        } else {
            write!(f, "{}", self.destination)?;
        }
        if let Some(source) = self.source {
            write!(f, " from {source}")?;
        }
        match &self.next {
            NextHops::None => {}
            NextHops::One(hop) => write!(f, "{}", Hop(hop))?,
            NextHops::Multipath(hops) => {
                for leg in hops {
                    write!(f, " nexthop{}", Hop(&leg.hop))?;
                    if leg.weight_minus_one > 0 {
                        write!(f, " weight {}", u16::from(leg.weight_minus_one) + 1)?;
                    }
                }
            }
        }
        match &self.table {
            table if *table == RouteTable::MAIN => {}
            table => write!(f, " {}", Table("table", table))?,
        }
        if self.tos != 0 {
            write!(f, " tos {:#04x}", self.tos)?;
        }
        if let Some(metric) = self.metric {
            write!(f, " metric {metric}")?;
        }
        if self.protocol != ROUTE_PROTOCOL {
            write!(f, " proto {}", self.protocol)?;
        }
        Ok(())
    }
}

struct Hop<'a>(&'a NextHop);

impl fmt::Display for Hop<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(gateway) = self.0.gateway {
            write!(f, " via {gateway}")?;
        }
        if let Some(interface) = &self.0.interface {
            write!(f, " dev {interface}")?;
        }
        Ok(())
    }
}

/// A table, behind its keyword.
struct Table<'a>(&'a str, &'a RouteTable);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            RouteTable::Number(number) => write!(f, "{} {number}", self.0),
            RouteTable::OfVrf(vrf) => write!(f, "vrf {vrf}"),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(priority) = self.priority {
            write!(f, "{priority}: ")?;
        }
        if self.invert {
            f.write_str("not ")?;
        }
        match self.from {
            Some(from) => write!(f, "from {from}")?,
            None => f.write_str("from all")?,
        }
        if let Some(to) = self.to {
            write!(f, " to {to}")?;
        }
        if let Some(mark) = self.mark {
            write!(f, " fwmark {:#x}/{:#x}", mark.mark, mark.mask)?;
        }
        for (keyword, interface) in [("iif", &self.input), ("oif", &self.output)] {
            if let Some(interface) = interface {
                write!(f, " {keyword} {interface}")?;
            }
        }
        match &self.action {
            RuleAction::Lookup(table) => write!(f, " {}", Table("lookup", table)),
            RuleAction::LookupVrf => f.write_str(" l3mdev"),
            RuleAction::GoTo(target) => write!(f, " goto {target}"),
            RuleAction::Nop => f.write_str(" nop"),
            RuleAction::Blackhole => f.write_str(" blackhole"),
            RuleAction::Unreachable => f.write_str(" unreachable"),
            RuleAction::Prohibit => f.write_str(" prohibit"),
        }
    }
}

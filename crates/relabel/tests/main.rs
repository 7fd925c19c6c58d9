//! Tests of relabelling: tables of rules with what comes out, and of rules that are refused.

mod rules;

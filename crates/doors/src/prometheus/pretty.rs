//! A query broken into lines, as Prometheus does it: what is longer than a line goes on with each of its parts on lines of their own.
//!
//! How a part is printed on one line is `tend-promql`'s.

use tend_promql::Expr;

/// A part that is longer is broken, in bytes.
const LINE_MAX: usize = 100;

/// Writes an expression for people.
pub(super) fn pretty(expr: &Expr) -> String {
    let mut out = String::new();
    write(&mut out, expr, 0);
    out
}

fn indent(out: &mut String, level: usize) {
    for _ in 0..level {
        out.push_str("  ");
    }
}

fn write(out: &mut String, expr: &Expr, level: usize) {
    let line = expr.to_string();
    let breaks = line.len() > LINE_MAX;
    match expr {
        Expr::Aggregate(node) if breaks => {
            let inner = match &node.parameter {
                Some(parameter) => format!("({parameter}, {})", node.expr),
                None => format!("({})", node.expr),
            };
            indent(out, level);
            out.push_str(line.strip_suffix(&inner).unwrap_or(&line));
            out.push_str("(\n");
            if let Some(parameter) = &node.parameter {
                write(out, parameter, level + 1);
                out.push_str(",\n");
            }
            write(out, &node.expr, level + 1);
            close(out, level);
        }
        Expr::Binary(node) if breaks => {
            let (left, right) = (node.left.to_string(), node.right.to_string());
            let between = line.strip_prefix(&left).and_then(|rest| rest.strip_suffix(&right));
            write(out, &node.left, level + 1);
            out.push('\n');
            indent(out, level);
            out.push_str(between.unwrap_or_default().trim());
            out.push('\n');
            write(out, &node.right, level + 1);
        }
        Expr::Call(node) if breaks => {
            indent(out, level);
            out.push_str(node.function.name);
            out.push_str("(\n");
            for (at, argument) in node.arguments.iter().enumerate() {
                if at > 0 {
                    out.push_str(",\n");
                }
                write(out, argument, level + 1);
            }
            close(out, level);
        }
        Expr::Paren(node) if breaks => {
            indent(out, level);
            out.push_str("(\n");
            write(out, &node.expr, level + 1);
            close(out, level);
        }
        Expr::Subquery(node) => {
            let inner = node.expr.to_string();
            if breaks {
                write(out, &node.expr, level);
                out.push_str(line.strip_prefix(&inner).unwrap_or_default());
            } else {
                // Prometheus does not indent one that needs no break.
                out.push_str(&line);
            }
        }
        Expr::Unary(node) => {
            let mut inner = String::new();
            write(&mut inner, &node.expr, level);
            indent(out, level);
            out.push(if node.negative { '-' } else { '+' });
            out.push_str(inner.trim());
        }
        _ => {
            indent(out, level);
            out.push_str(&line);
        }
    }
}

fn close(out: &mut String, level: usize) {
    out.push('\n');
    indent(out, level);
    out.push(')');
}

//! The WHEN clause of an update trigger, as an expression tree: which columns it compares, and
//! whether it is the one that the library writes.
//!
//! A clause that merely looks like it may leave changes out (`(OLD.active AND false) IS DISTINCT
//! FROM ...`), so it is compared with a tree that is built here, without looking up a name.

use super::relation::Relation;
use pgrx::pg_sys::{self, Node, Oid};

/// What a clause says of one column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `OLD.column IS DISTINCT FROM NEW.column`, for the types of ids.
    Value(i16),
    /// `(OLD.column IS TRUE) IS DISTINCT FROM (NEW.column IS TRUE)`, for booleans.
    IsTrue(i16),
    /// `(OLD.column IS NULL) IS DISTINCT FROM (NEW.column IS NULL)`
    IsNull(i16),
    /// `(OLD.column)::pg_catalog.text COLLATE pg_catalog."C" IS DISTINCT FROM ...`: what the type
    /// calls equal (citext in another case) is told apart, and a type without equality (json) will
    /// do.
    Text(i16),
    /// The same of the whole row.
    Row,
}

impl Comparison {
    /// As CREATE TRIGGER takes it; `column` is the column's quoted name.
    pub fn clause(self, column: &str) -> String {
        let both =
            |of: &dyn Fn(&str) -> String| format!("{} IS DISTINCT FROM {}", of("OLD"), of("NEW"));
        let text = |column: &str, row: &str| {
            format!("({row}.{column})::pg_catalog.text COLLATE pg_catalog.\"C\"")
        };
        match self {
            Comparison::Value(_) => both(&|row| format!("{row}.{column}")),
            Comparison::IsTrue(_) => both(&|row| format!("({row}.{column} IS TRUE)")),
            Comparison::IsNull(_) => both(&|row| format!("({row}.{column} IS NULL)")),
            Comparison::Text(_) => both(&|row| text(column, row)),
            Comparison::Row => both(&|row| text("*", row)),
        }
    }
}

const OLD: i32 = pg_sys::PRS2_OLD_VARNO as i32;
const NEW: i32 = pg_sys::PRS2_NEW_VARNO as i32;
const NOWHERE: i32 = -1;

/// The columns that the arms of a clause compare; `None` where it is no list of comparisons.
///
/// # Safety
/// The clause is NULL, or the text of an expression tree.
pub(super) unsafe fn compared_columns(clause: *mut std::ffi::c_char) -> Option<Vec<i16>> {
    // SAFETY: the caller says so.
    let tree = unsafe { tree_of(clause) }?;
    // SAFETY: a tree of PostgreSQL's.
    let arms = unsafe { arms_of(tree) }?;
    // SAFETY: nodes of that tree.
    arms.into_iter().map(|arm| unsafe { compared_column(arm) }).collect()
}

/// Whether a clause is exactly these comparisons, one OR the other.
///
/// # Safety
/// As above.
pub(super) unsafe fn is_made_of(
    clause: *mut std::ffi::c_char,
    table: &Relation,
    comparisons: &[Comparison],
) -> bool {
    // SAFETY: the caller says so.
    let Some(tree) = (unsafe { tree_of(clause) }) else { return false };
    let Some(expected) = build(table, comparisons) else { return false };
    // SAFETY: two trees; places in a query text do not count.
    unsafe { pg_sys::equal(tree.cast(), expected.cast()) }
}

unsafe fn tree_of(clause: *mut std::ffi::c_char) -> Option<*mut Node> {
    if clause.is_null() {
        return None;
    }
    // SAFETY: the caller says that it is the text of an expression tree.
    let tree: *mut Node = unsafe { pg_sys::stringToNode(clause) }.cast();
    (!tree.is_null()).then_some(tree)
}

unsafe fn tag_of(node: *mut Node) -> pg_sys::NodeTag {
    // SAFETY: every node begins with its tag.
    unsafe { (*node).type_ }
}

unsafe fn arms_of(tree: *mut Node) -> Option<Vec<*mut Node>> {
    // SAFETY: a node.
    match unsafe { tag_of(tree) } {
        pg_sys::NodeTag::T_BoolExpr => {}
        // A single comparison is no list.
        _ => return Some(vec![tree]),
    }
    // SAFETY: the tag says what the node is.
    let tree = unsafe { &*tree.cast::<pg_sys::BoolExpr>() };
    if tree.boolop != pg_sys::BoolExprType::OR_EXPR {
        return None;
    }
    // SAFETY: the arguments of a BoolExpr are a list of nodes.
    let arms = unsafe { pgrx::PgList::<Node>::from_pg(tree.args) };
    Some(arms.iter_ptr().collect())
}

unsafe fn compared_column(arm: *mut Node) -> Option<i16> {
    // SAFETY: a node.
    if unsafe { tag_of(arm) } != pg_sys::NodeTag::T_DistinctExpr {
        return None;
    }
    // SAFETY: a WHEN clause has neither aggregates nor placeholders, which would raise.
    let columns = unsafe { pg_sys::pull_var_clause(arm, 0) };
    // SAFETY: pull_var_clause returns a list of Var nodes.
    let columns = unsafe { pgrx::PgList::<pg_sys::Var>::from_pg(columns) };
    let columns: Vec<(i32, i16)> = columns
        .iter_ptr()
        .map(|column| {
            // SAFETY: as above.
            let column = unsafe { &*column };
            (column.varno, column.varattno)
        })
        .collect();
    match columns[..] {
        [(OLD, before), (NEW, after)] if before == after && before >= 0 => Some(before),
        _ => None,
    }
}

/// The tree that PostgreSQL makes of the clause (PostgreSQL source, `CreateTriggerFiringOn`).
fn build(table: &Relation, comparisons: &[Comparison]) -> Option<*mut Node> {
    let mut arms = pgrx::PgList::<Node>::new();
    for comparison in comparisons {
        arms.push(build_comparison(table, *comparison)?);
    }
    let tree: *mut Node = if arms.len() == 1 {
        arms.get_ptr(0)?
    } else {
        let arms = arms.into_pg();
        // SAFETY: a list of boolean expressions.
        unsafe { pg_sys::makeBoolExpr(pg_sys::BoolExprType::OR_EXPR, arms, NOWHERE) }.cast()
    };
    // SAFETY: no parent.
    let state = unsafe { pg_sys::make_parsestate(std::ptr::null_mut()) };
    // SAFETY: a tree that is not shared.
    unsafe { pg_sys::assign_expr_collations(state, tree) };
    // SAFETY: made above.
    unsafe { pg_sys::free_parsestate(state) };
    Some(tree)
}

fn build_comparison(table: &Relation, comparison: Comparison) -> Option<*mut Node> {
    let side = |row: i32| -> Option<(*mut Node, Oid)> {
        match comparison {
            Comparison::Value(attno) => {
                let (column, type_oid) = column(table, row, attno)?;
                let (_, compared_type) = equality_of(base_type(type_oid))?;
                let implicit = pg_sys::CoercionContext::COERCION_IMPLICIT;
                Some((coerce(column, type_oid, compared_type, implicit)?, compared_type))
            }
            Comparison::IsTrue(attno) => {
                let (column, _) = column(table, row, attno)?;
                Some((is_true(column), pg_sys::BOOLOID))
            }
            Comparison::IsNull(attno) => {
                let (column, type_oid) = column(table, row, attno)?;
                Some((is_null(column, type_oid), pg_sys::BOOLOID))
            }
            Comparison::Text(attno) => {
                let (column, type_oid) = column(table, row, attno)?;
                Some((in_c_collation(as_text(column, type_oid)?), pg_sys::TEXTOID))
            }
            Comparison::Row => {
                let (row, type_oid) = whole_row(table, row);
                Some((in_c_collation(as_text(row, type_oid)?), pg_sys::TEXTOID))
            }
        }
    };
    let (old, compared_type) = side(OLD)?;
    let (new, _) = side(NEW)?;
    let (equals, _) = equality_of(compared_type)?;
    let mut arguments = pgrx::PgList::<Node>::new();
    arguments.push(old);
    arguments.push(new);
    // SAFETY: the operator is PostgreSQL's own.
    let function = unsafe { pg_sys::get_opcode(Oid::from(equals)) };
    let distinct = pg_sys::DistinctExpr {
        xpr: pg_sys::Expr { type_: pg_sys::NodeTag::T_DistinctExpr },
        opno: Oid::from(equals),
        opfuncid: function,
        opresulttype: pg_sys::BOOLOID,
        args: arguments.into_pg(),
        location: NOWHERE,
        ..Default::default()
    };
    Some(allocate(distinct).cast())
}

/// The equality operator that `IS DISTINCT FROM` takes for a type, and the type that it compares.
/// Their numbers are fixed (PostgreSQL source, pg_operator.dat); not all have a name in the
/// headers.
fn equality_of(type_oid: Oid) -> Option<(u32, Oid)> {
    match type_oid {
        pg_sys::BOOLOID => Some((91, type_oid)),
        pg_sys::INT2OID => Some((94, type_oid)),
        pg_sys::INT4OID => Some((96, type_oid)),
        pg_sys::INT8OID => Some((410, type_oid)),
        pg_sys::UUIDOID => Some((2972, type_oid)),
        pg_sys::TEXTOID | pg_sys::VARCHAROID => Some((98, pg_sys::TEXTOID)),
        _ => None,
    }
}

fn base_type(type_oid: Oid) -> Oid {
    // SAFETY: an OID that the catalogs gave out.
    unsafe { pg_sys::getBaseType(type_oid) }
}

fn column(table: &Relation, row: i32, attno: i16) -> Option<(*mut Node, Oid)> {
    let column = table.attribute(attno)?;
    // SAFETY: builds a node of plain values.
    let var = unsafe {
        pg_sys::makeVar(row as _, attno, column.atttypid, column.atttypmod, column.attcollation, 0)
    };
    Some((var.cast(), column.atttypid))
}

fn whole_row(table: &Relation, row: i32) -> (*mut Node, Oid) {
    let type_oid = table.class().reltype;
    // SAFETY: builds a node of plain values: column 0 is the row.
    let var = unsafe { pg_sys::makeVar(row as _, 0, type_oid, -1, pg_sys::InvalidOid, 0) };
    (var.cast(), type_oid)
}

fn as_text(node: *mut Node, type_oid: Oid) -> Option<*mut Node> {
    coerce(node, type_oid, pg_sys::TEXTOID, pg_sys::CoercionContext::COERCION_EXPLICIT)
}

fn coerce(
    node: *mut Node,
    from: Oid,
    to: Oid,
    context: pg_sys::CoercionContext::Type,
) -> Option<*mut Node> {
    let form = match context {
        pg_sys::CoercionContext::COERCION_EXPLICIT => pg_sys::CoercionForm::COERCE_EXPLICIT_CAST,
        _ => pg_sys::CoercionForm::COERCE_IMPLICIT_CAST,
    };
    // SAFETY: a node of this type; NULL comes back where there is no cast.
    let coerced = unsafe {
        pg_sys::coerce_to_target_type(
            std::ptr::null_mut(),
            node,
            from,
            to,
            -1,
            context,
            form,
            NOWHERE,
        )
    };
    (!coerced.is_null()).then_some(coerced)
}

fn is_true(node: *mut Node) -> *mut Node {
    let test = pg_sys::BooleanTest {
        xpr: pg_sys::Expr { type_: pg_sys::NodeTag::T_BooleanTest },
        arg: node.cast(),
        booltesttype: pg_sys::BoolTestType::IS_TRUE,
        location: NOWHERE,
    };
    allocate(test).cast()
}

fn is_null(node: *mut Node, type_oid: Oid) -> *mut Node {
    let test = pg_sys::NullTest {
        xpr: pg_sys::Expr { type_: pg_sys::NodeTag::T_NullTest },
        arg: node.cast(),
        nulltesttype: pg_sys::NullTestType::IS_NULL,
        // SAFETY: an OID that the catalogs gave out.
        argisrow: unsafe { pg_sys::type_is_rowtype(type_oid) },
        location: NOWHERE,
    };
    allocate(test).cast()
}

fn in_c_collation(node: *mut Node) -> *mut Node {
    let collated = pg_sys::CollateExpr {
        xpr: pg_sys::Expr { type_: pg_sys::NodeTag::T_CollateExpr },
        arg: node.cast(),
        collOid: pg_sys::C_COLLATION_OID,
        location: NOWHERE,
    };
    allocate(collated).cast()
}

/// A node in the current memory context.
fn allocate<T>(node: T) -> *mut T {
    // SAFETY: raises an error for a size that cannot be had.
    let place: *mut T = unsafe { pg_sys::palloc(size_of::<T>()) }.cast();
    // SAFETY: as large as the node, and aligned for anything.
    unsafe { place.write(node) };
    place
}

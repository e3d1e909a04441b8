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
    /// `pg_catalog.record_image_ne(ROW(OLD.column), ROW(NEW.column))`, for any type: what is stored
    /// is compared byte by byte. What the type calls equal (citext in another case) is told apart,
    /// a type without equality (json) will do, and no setting of the session counts, as it would
    /// for texts (`extra_float_digits`).
    Image(i16),
    /// The same of the whole row.
    Row,
}

impl Comparison {
    /// As CREATE TRIGGER takes it; `column` is the column's quoted name.
    pub fn clause(self, column: &str) -> String {
        let both =
            |of: &dyn Fn(&str) -> String| format!("{} IS DISTINCT FROM {}", of("OLD"), of("NEW"));
        match self {
            Comparison::Value(_) => both(&|row| format!("{row}.{column}")),
            Comparison::IsTrue(_) => both(&|row| format!("({row}.{column} IS TRUE)")),
            Comparison::IsNull(_) => both(&|row| format!("({row}.{column} IS NULL)")),
            Comparison::Image(_) => {
                format!("pg_catalog.record_image_ne(ROW(OLD.{column}), ROW(NEW.{column}))")
            }
            Comparison::Row => "pg_catalog.record_image_ne(OLD.*, NEW.*)".to_owned(),
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
    unsafe { arms_in_common(clause, table, comparisons) }
        .is_some_and(|(arms, common)| arms == comparisons.len() && common == arms)
}

/// Whether a clause begins with these comparisons, one OR the other.
///
/// # Safety
/// As above.
pub(super) unsafe fn begins_with(
    clause: *mut std::ffi::c_char,
    table: &Relation,
    comparisons: &[Comparison],
) -> bool {
    // SAFETY: the caller says so.
    unsafe { arms_in_common(clause, table, comparisons) }
        .is_some_and(|(_, common)| common == comparisons.len())
}

/// How many arms a clause has, and how many of them, from the first on, are these comparisons.
///
/// # Safety
/// As above.
unsafe fn arms_in_common(
    clause: *mut std::ffi::c_char,
    table: &Relation,
    comparisons: &[Comparison],
) -> Option<(usize, usize)> {
    // SAFETY: the caller says so.
    let tree = unsafe { tree_of(clause) }?;
    // SAFETY: a tree of PostgreSQL's.
    let arms = unsafe { arms_of(tree) }?;
    // SAFETY: a tree that was built as PostgreSQL's are.
    let expected = unsafe { arms_of(build(table, comparisons)?) }?;
    let both = arms.iter().zip(&expected);
    // SAFETY: nodes of two trees; places in a query text do not count.
    let is_equal = |(arm, expected): &(&*mut Node, &*mut Node)| unsafe {
        pg_sys::equal(arm.cast(), expected.cast())
    };
    Some((arms.len(), both.take_while(is_equal).count()))
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
    match unsafe { tag_of(arm) } {
        pg_sys::NodeTag::T_DistinctExpr | pg_sys::NodeTag::T_FuncExpr => {}
        _ => return None,
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
    match comparison {
        Comparison::Value(attno) => are_distinct(|row| {
            let (column, type_oid) = column(table, row, attno)?;
            let (_, compared_type) = equality_of(base_type(type_oid))?;
            Some((coerce_implicitly(column, type_oid, compared_type)?, compared_type))
        }),
        Comparison::IsTrue(attno) => are_distinct(|row| {
            let (column, type_oid) = column(table, row, attno)?;
            let boolean = coerce_implicitly(column, type_oid, pg_sys::BOOLOID)?;
            Some((is_true(boolean), pg_sys::BOOLOID))
        }),
        Comparison::IsNull(attno) => are_distinct(|row| {
            let (column, type_oid) = column(table, row, attno)?;
            Some((is_null(column, type_oid), pg_sys::BOOLOID))
        }),
        Comparison::Image(attno) => {
            let row_of = |row| Some(row_of_one(column(table, row, attno)?.0));
            Some(images_differ(row_of(OLD)?, row_of(NEW)?))
        }
        Comparison::Row => Some(images_differ(whole_row(table, OLD), whole_row(table, NEW))),
    }
}

/// One side IS DISTINCT FROM the other; a side comes with its type.
fn are_distinct(side: impl Fn(i32) -> Option<(*mut Node, Oid)>) -> Option<*mut Node> {
    let (old, compared_type) = side(OLD)?;
    let (new, _) = side(NEW)?;
    let (equals, _) = equality_of(compared_type)?;
    // SAFETY: the operator is PostgreSQL's own.
    let function = unsafe { pg_sys::get_opcode(Oid::from(equals)) };
    let distinct = pg_sys::DistinctExpr {
        xpr: pg_sys::Expr { type_: pg_sys::NodeTag::T_DistinctExpr },
        opno: Oid::from(equals),
        opfuncid: function,
        opresulttype: pg_sys::BOOLOID,
        args: list_of(&[old, new]),
        location: NOWHERE,
        ..Default::default()
    };
    Some(allocate(distinct).cast())
}

/// `pg_catalog.record_image_ne(old, new)`
fn images_differ(old: *mut Node, new: *mut Node) -> *mut Node {
    let call = pg_sys::FuncExpr {
        xpr: pg_sys::Expr { type_: pg_sys::NodeTag::T_FuncExpr },
        funcid: Oid::from(pg_sys::F_RECORD_IMAGE_NE),
        funcresulttype: pg_sys::BOOLOID,
        funcformat: pg_sys::CoercionForm::COERCE_EXPLICIT_CALL,
        args: list_of(&[old, new]),
        location: NOWHERE,
        ..Default::default()
    };
    allocate(call).cast()
}

/// `ROW(column)`
fn row_of_one(column: *mut Node) -> *mut Node {
    // SAFETY: copies the name.
    let name = unsafe { pg_sys::pstrdup(c"f1".as_ptr()) };
    // SAFETY: the copy belongs to the node.
    let name = unsafe { pg_sys::makeString(name) };
    let row = pg_sys::RowExpr {
        xpr: pg_sys::Expr { type_: pg_sys::NodeTag::T_RowExpr },
        args: list_of(&[column]),
        row_typeid: pg_sys::RECORDOID,
        row_format: pg_sys::CoercionForm::COERCE_EXPLICIT_CALL,
        colnames: list_of(&[name.cast()]),
        location: NOWHERE,
    };
    allocate(row).cast()
}

fn list_of(nodes: &[*mut Node]) -> *mut pg_sys::List {
    let mut list = pgrx::PgList::<Node>::new();
    nodes.iter().for_each(|node| list.push(*node));
    list.into_pg()
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

fn whole_row(table: &Relation, row: i32) -> *mut Node {
    let type_oid = table.class().reltype;
    // SAFETY: builds a node of plain values: column 0 is the row.
    unsafe { pg_sys::makeVar(row as _, 0, type_oid, -1, pg_sys::InvalidOid, 0) }.cast()
}

fn coerce_implicitly(node: *mut Node, from: Oid, to: Oid) -> Option<*mut Node> {
    // SAFETY: a node of this type; NULL comes back where there is no cast.
    let coerced = unsafe {
        pg_sys::coerce_to_target_type(
            std::ptr::null_mut(),
            node,
            from,
            to,
            -1,
            pg_sys::CoercionContext::COERCION_IMPLICIT,
            pg_sys::CoercionForm::COERCE_IMPLICIT_CAST,
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

/// A node in the current memory context.
fn allocate<T>(node: T) -> *mut T {
    // SAFETY: raises an error for a size that cannot be had.
    let place: *mut T = unsafe { pg_sys::palloc(size_of::<T>()) }.cast();
    // SAFETY: as large as the node, and aligned for anything.
    unsafe { place.write(node) };
    place
}

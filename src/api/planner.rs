//! What a document will ask for, before anything is loaded.
//!
//! Comes in: a document that is valid for the schema, and its variables. Goes out: the distinct requests of its root fields, each with the union
//! of everything selected below it, wherever it stands: under aliases, in fragments, under a key that occurs twice. `@skip` and `@include` are
//! ignored, so that too much may be planned and never too little. Reads the syntax tree, because juniper's look-ahead gives the first of
//! several fields of one name.

use std::collections::{BTreeMap, HashMap};

use juniper::{
    Arguments, Definition, GraphQLError, OperationType, Selection, Spanning, Variables,
    meta::MetaType, parser::parse_document_source, validation::validate_input_values,
};

use super::{
    history::SpanArguments,
    pagination::NESTED_ROWS,
    request::Request,
    schema::{Schema, SchemaType},
};

/// The fields selected of an object, by name, all occurrences taken together.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Selected {
    fields: BTreeMap<String, Wanted>,
}

/// How one field is selected.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Wanted {
    /// The largest `limit` of its occurrences, for fields that have that argument.
    pub limit: Option<u32>,
    /// The different spans of its occurrences, for fields that have those arguments.
    pub spans: Vec<SpanArguments>,
    pub selected: Selected,
}

impl Selected {
    pub(super) fn get(&self, field: &str) -> Option<&Wanted> {
        self.fields.get(field)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Wanted)> {
        self.fields
            .iter()
            .map(|(name, wanted)| (name.as_str(), wanted))
    }

    /// What is selected of the nodes of a connection.
    pub(super) fn of_nodes(&self) -> Self {
        let mut nodes = Self::default();
        if let Some(wanted) = self.get("nodes") {
            nodes.merge(&wanted.selected);
        }
        if let Some(wanted) = self
            .get("edges")
            .and_then(|edges| edges.selected.get("node"))
        {
            nodes.merge(&wanted.selected);
        }
        nodes
    }

    fn merge(&mut self, other: &Self) {
        for (name, wanted) in &other.fields {
            let mine = self.fields.entry(name.clone()).or_default();
            mine.limit = mine.limit.max(wanted.limit);
            for span in &wanted.spans {
                mine.add_span(*span);
            }
            mine.selected.merge(&wanted.selected);
        }
    }
}

impl Wanted {
    fn add_span(&mut self, span: SpanArguments) {
        if !self.spans.contains(&span) {
            self.spans.push(span);
        }
    }
}

/// The distinct requests of a document.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Plan {
    pub requests: Vec<(Request, Selected)>,
}

/// Plans the operation of that name, or the only one. The document has passed validation.
///
/// # Errors
///
/// The variables don't fit their definitions.
pub(super) fn plan(
    document: &str,
    operation_name: Option<&str>,
    variables: &Variables,
    schema: &Schema,
) -> Result<Plan, GraphQLError> {
    let definitions = parse_document_source(document, &schema.schema)?;
    let mut fragments = HashMap::new();
    let mut operation = None;
    for definition in &definitions {
        match definition {
            Definition::Fragment(fragment) => {
                fragments.insert(
                    fragment.item.name.item,
                    fragment.item.selection_set.as_slice(),
                );
            }
            Definition::Operation(candidate) => {
                let name = candidate.item.name.as_ref().map(|name| name.item);
                if operation_name.is_none() || name == operation_name {
                    operation = Some(candidate);
                }
            }
        }
    }
    let operation = operation.ok_or(GraphQLError::UnknownOperationName)?;
    if operation.item.operation_type != OperationType::Query {
        return Err(GraphQLError::NotSupported(operation.item.operation_type));
    }
    let errors = validate_input_values(variables, operation, &schema.schema);
    if !errors.is_empty() {
        return Err(GraphQLError::ValidationError(errors));
    }
    let mut variables = variables.clone();
    for (name, definition) in operation
        .item
        .variables_definition
        .iter()
        .flat_map(|definitions| definitions.item.iter())
    {
        if let Some(default) = &definition.default_value {
            variables
                .entry(name.item.to_owned())
                .or_insert_with(|| default.item.clone());
        }
    }
    let walk = Walk {
        fragments,
        variables,
        schema: &schema.schema,
    };
    let mut plan = Plan::default();
    walk.requests(&operation.item.selection_set, &mut plan);
    Ok(plan)
}

/// What is the same for every selection of one document.
struct Walk<'a> {
    fragments: HashMap<&'a str, &'a [Selection<'a>]>,
    variables: Variables,
    schema: &'a SchemaType,
}

impl<'a> Walk<'a> {
    fn requests(&self, selections: &'a [Selection<'a>], plan: &mut Plan) {
        let root = self.schema.concrete_query_type();
        self.fields(selections, &mut |name, arguments, below| {
            let Some(field) = root.field_by_name(name) else {
                return;
            };
            // A request that is refused has nothing to load: its resolver refuses it again, with the path.
            let Ok(Some(request)) = Request::of(name, &self.arguments(arguments, field)) else {
                return;
            };
            let mut selected = Selected::default();
            if let Some(object) = self.object_of(field) {
                self.select(below, object, &mut selected);
            }
            match plan
                .requests
                .iter_mut()
                .find(|(other, _)| *other == request)
            {
                Some((_, others)) => others.merge(&selected),
                None => plan.requests.push((request, selected)),
            }
        });
    }

    fn select(&self, selections: &'a [Selection<'a>], object: &MetaType, into: &mut Selected) {
        self.fields(selections, &mut |name, arguments, below| {
            let Some(field) = object.field_by_name(name) else {
                return;
            };
            let wanted = into.fields.entry(name.to_owned()).or_default();
            let arguments = self.arguments(arguments, field);
            if let Some(span) = SpanArguments::of(name, &arguments) {
                wanted.add_span(span);
            }
            let limit = arguments.get::<Option<i32>>("limit");
            if let Some(limit) = limit.ok().flatten() {
                let limit = u32::try_from(limit.unwrap_or(NESTED_ROWS)).unwrap_or(0);
                wanted.limit = wanted.limit.max(Some(limit));
            }
            if let Some(object) = self.object_of(field) {
                self.select(below, object, &mut wanted.selected);
            }
        });
    }

    /// Every field of a selection set, those of its fragments among them. All types are objects, so that a fragment's type always applies.
    fn fields(&self, selections: &'a [Selection<'a>], visit: &mut Visit<'_, 'a>) {
        for selection in selections {
            match selection {
                Selection::Field(field) => visit(
                    field.item.name.item,
                    field
                        .item
                        .arguments
                        .as_ref()
                        .map_or(&[], |arguments| arguments.item.items.as_slice()),
                    field.item.selection_set.as_deref().unwrap_or_default(),
                ),
                Selection::FragmentSpread(spread) => {
                    if let Some(selections) = self.fragments.get(spread.item.name.item) {
                        self.fields(selections, visit);
                    }
                }
                Selection::InlineFragment(fragment) => {
                    self.fields(&fragment.item.selection_set, visit);
                }
            }
        }
    }

    /// The arguments as the resolver will get them: variables in place, defaults of the schema where none is given.
    fn arguments<'b>(&self, given: &'b [Argument<'b>], field: &'b Field) -> Arguments<'b> {
        let given = given
            .iter()
            .filter_map(|(name, value)| {
                let constant = value.item.clone().into_const(&self.variables)?;
                Some((name.item, Spanning::new(value.span, constant)))
            })
            .collect();
        Arguments::new(Some(given), &field.arguments)
    }

    fn object_of(&self, field: &Field) -> Option<&'a MetaType> {
        self.schema
            .concrete_type_by_name(field.field_type.innermost_name())
    }
}

type Field = juniper::meta::Field<juniper::DefaultScalarValue>;
type Argument<'a> = (Spanning<&'a str>, Spanning<juniper::InputValue>);
type Visit<'v, 'a> = dyn FnMut(&'a str, &'a [Argument<'a>], &'a [Selection<'a>]) + 'v;

using Fluid;
using Fluid.Ast;
using Fluid.Parser;
using Fluid.Values;

namespace Platform.Templates;

/// <summary>
/// Walks each page through its partials, and knows the type of every expression and the place in the HTML of every output, so that nothing a merchant types can become
/// markup, script or style.
/// </summary>
internal sealed class TemplateChecker(
    TemplateManifest manifest, IReadOnlyDictionary<string, TemplateSource> sources, IReadOnlySet<string> assets, TemplateIssues issues)
{
    // A partial is checked once for each combination of types that it is given, and of those there can be exponentially many.
    private const int MaxCharacters = 16 * 1024 * 1024;
    private const int MaxExpressionDepth = 64;
    private const int MaxRange = 1_000;

    private static readonly TemplateOptions Trimming = new();

    private readonly IReadOnlyDictionary<string, TemplateSource> _sources = sources;
    private readonly HashSet<string> _checked = [];
    private readonly HashSet<TemplateIssue> _reported = [];
    private readonly BundleFiles _bundle = new(assets, manifest.Pages.Where(p => p.ForEach is null).Select(p => p.Path).ToHashSet());
    private readonly Dictionary<string, TemplateParameter> _parameters = manifest.Parameters.ToDictionary(p => p.Name);
    private int _characters;

    public void CheckPage(TemplatePage page)
    {
        var globals = TemplateType.Globals.Where(g => g.Key switch
        {
            "product" => page.ForEach == TemplatePage.Products,
            "collection" => page.ForEach == TemplatePage.Collections,
            _ => true,
        }).ToDictionary();
        new SourceChecker(this, page.Template, globals, [], page).Check();
    }

    private bool Spend(string entry, string signature)
    {
        if (_characters > MaxCharacters || !_checked.Add($"{entry} {signature}"))
            return false;
        _characters += _sources[entry].Text.Length + 1_000;
        if (_characters > MaxCharacters)
            Report(new(entry, null, "the bundle's partials are rendered in too many different ways to be checked"));
        return true;
    }

    // Several pages can render the same partial.
    private void Report(TemplateIssue issue)
    {
        if (_reported.Add(issue))
            issues.Add(issue.Entry, issue.Line, issue.Reason);
    }

    /// <summary>Checks one page or partial for given types of its variables.</summary>
    private sealed class SourceChecker(
        TemplateChecker checker, string entry, IReadOnlyDictionary<string, TemplateType> globals, Dictionary<string, TemplateType> variables, TemplatePage? page)
    {
        private readonly TemplateSource _source = checker._sources[entry];

        // Loop variables and what paginate defines, innermost last.
        private readonly List<(string Name, TemplateType Type)> _scoped = [];
        private readonly HashSet<string> _presentObjects = [];
        private readonly Stack<HtmlPlace> _loops = new();
        private bool _reporting;
        private bool _changed;
        private bool _paginated;

        private static bool UsesProducts(string name) => name is "product" or "collection";

        public void Check()
        {
            var signature = string.Join(' ', variables.OrderBy(v => v.Key, StringComparer.Ordinal).Select(v => $"{v.Key}:{v.Value.Kind}{(v.Value.IsList ? "*" : "")}"))
                + string.Concat(globals.Keys.Where(UsesProducts));
            if (!checker.Spend(entry, signature))
                return;

            // A variable can be used in a loop before the line that assigns it, so the types of all assignments are joined first.
            do
            {
                _changed = false;
                Statements(_source.Template.Statements, HtmlPlace.Content);
            }
            while (_changed);

            _reporting = true;
            var end = Statements(_source.Template.Statements, HtmlPlace.Content);
            if (!end.IsBroken && end.Kind != HtmlKind.Content)
                Report(null, $"ends {end.Describe()}; a page or partial must end where it began, in an element's content");
        }

        private void Report(int? line, string reason)
        {
            if (_reporting)
                checker.Report(new(entry, line, reason));
        }

        private void Report(object node, string reason) => Report(_source.LineOf(node), reason);

        private HtmlPlace Statements(IReadOnlyList<Statement> statements, HtmlPlace place)
        {
            foreach (var statement in statements)
            {
                if (place.IsBroken)
                    break;
                place = Statement(statement, place);
            }
            return place;
        }

        private HtmlPlace Statement(Statement statement, HtmlPlace place)
        {
            switch (statement)
            {
                case TextSpanStatement text:
                    text.PrepareBuffer(Trimming);
                    return Text(text.Buffer, text.Text.Offset, place);
                case RawStatement raw:
                    return Text(raw.Text.ToString(), raw.Text.Offset, place);
                case CommentStatement:
                    return place;
                case OutputStatement output:
                    Output(output, Type(output.Expression), place);
                    return place;
                case CycleStatement cycle:
                    foreach (var value in cycle.Values)
                        Output(cycle, Type(value), place);
                    return place;
                case AssignStatement assign:
                    Assign(assign, assign.Identifier, Type(assign.Value) with { Literal = null });
                    return place;
                case ParserBlockStatement<Capture> capture:
                    var end = Statements(capture.Statements, HtmlPlace.Content);
                    if (!end.IsBroken && end.Kind != HtmlKind.Content)
                        Report(capture, $"{{% capture %}} ends {end.Describe()}; it must end in an element's content");
                    Assign(capture, capture.Value.Name, new(Kind.Html));
                    return place;
                case RenderStatement render:
                    Render(render, place);
                    return place;
                case LiquidStatement liquid:
                    return Statements(liquid.Statements, place);
                case IfStatement condition:
                    return If(condition, condition.Condition, condition.Statements, condition.ElseIfs, condition.Else, place);
                case UnlessStatement condition:
                    return If(condition, condition.Condition, condition.Statements, [], condition.Else, place, negated: true);
                case CaseStatement @case:
                    return Case(@case, place);
                case ForStatement loop:
                    return For(loop, place);
                case ParserBlockStatement<Pagination> paginate:
                    return Paginate(paginate, place);
                case BreakStatement or ContinueStatement:
                    if (_loops.TryPeek(out var start) && start != place)
                        Report(statement, $"a loop is left {place.Describe()}, but begins {start.Describe()}; it must be left where it begins");
                    else if (_loops.Count == 0)
                        Report(statement, "{% break %} and {% continue %} stand in no loop");
                    return place;
                default:
                    Report(statement, $"{statement.GetType().Name} is not part of the template language");
                    return HtmlPlace.Broken;
            }
        }

        private HtmlPlace Text(string text, int offset, HtmlPlace place)
        {
            var after = place.After(text, out var problem, out var line);
            if (problem is not null)
                Report(_source.LineAt(offset) + line, problem);
            return after;
        }

        private void Assign(Statement statement, string name, TemplateType type)
        {
            if (globals.ContainsKey(name) || TemplateType.Globals.ContainsKey(name))
                Report(statement, $"'{name}' is the name of an object; choose another name for the variable");
            if (_scoped.Any(s => s.Name == name))
                Report(statement, $"'{name}' is the name of a loop's variable; choose another name");
            if (type.Kind == Kind.Condition)
                Report(statement, TemplateFilters.NoCondition);
            if (!type.IsKnown)
                return;
            var known = variables.GetValueOrDefault(name);
            var joined = known is null ? type : TemplateType.Join(known, type);
            if (!joined.IsKnown)
                checker.Report(new(entry, _source.LineOf(statement), $"'{name}' is assigned values of different kinds"));
            else if (joined != known)
                (variables[name], _changed) = (joined, true);
        }

        private void Output(Statement statement, TemplateType type, HtmlPlace place)
        {
            if (!type.IsKnown)
                return;
            if (type.Kind == Kind.Condition)
                Report(statement, TemplateFilters.NoCondition);
            else if (!type.IsScalar)
                Report(statement, type.IsList ? "a list can't be written as text; use {% for %}, or the filter join" : "an object can't be written as text; name one of its fields");
            else if (place.IsJson && type.Kind is not (Kind.Json or Kind.Number or Kind.Boolean))
                Report(statement, $"an output {place.Describe()} must end with the filter json or structured_data");
            else if (place.RefusesOutput)
                Report(statement, $"an output stands {place.Describe()}, where none may be");
            else if (place.IsScriptType)
                Report(statement, $"an output stands {place.Describe()}, which must be the template's own text");
            else if (place.IsCss && !type.IsCss)
                Report(statement, $"an output stands {place.Describe()}, where only asset_url, numbers and settings of the types color, number and choice may be");
            else if (place.LoadsCode && type.Kind != Kind.Asset)
                Report(statement, $"an output stands {place.Describe()}, which runs what it loads; only asset_url may be there");
            else if (place.BeginsUrl && !type.IsUrl)
            {
                Report(statement, $"an output begins the address {place.Describe()}, where only settings of the type url, the url of a product, collection or page, asset_url, image_url "
                    + "and page_url may be");
            }
            else if (type.Kind is Kind.Html or Kind.Json && place.Kind != HtmlKind.Content && !place.IsJson)
                Report(statement, $"the output stands {place.Describe()}, but is {(type.Kind == Kind.Html ? "HTML" : "JSON")}");
        }

        private void Render(RenderStatement render, HtmlPlace place)
        {
            if (place.Kind != HtmlKind.Content)
                Report(render, $"{{% render %}} stands {place.Describe()}; a partial can stand only in an element's content");
            var arguments = new Dictionary<string, TemplateType>();
            foreach (var assign in render.AssignStatements)
                Pass(assign.Identifier, Type(assign.Value));
            var target = TemplateLanguage.PartialEntry(render.Path);
            var alias = render.Alias ?? Path.GetFileNameWithoutExtension(target);
            if (render.With is not null)
                Pass(alias, Type(render.With));
            if (render.For is not null)
            {
                var list = Type(render.For);
                if (list is { IsKnown: true, IsList: false })
                    Report(render, "{% render … for %} takes a list");
                Pass(alias, list with { IsList = false });
                arguments["forloop"] = new(Kind.ForLoop);
            }
            if (checker._sources.ContainsKey(target))
                new SourceChecker(checker, target, globals, arguments, page: null).Check();

            void Pass(string name, TemplateType type)
            {
                if (TemplateType.Globals.TryGetValue(name, out var global) && type.IsKnown && (type.Kind != global.Kind || type.IsList != global.IsList))
                    Report(render, $"'{name}' must be {(global.IsList ? "a list" : "an object")} of the kind {global.Kind.ToString().ToLowerInvariant()} in a partial too");
                arguments[name] = type with { Literal = null };
            }
        }

        private HtmlPlace If(
            Statement statement, Expression condition, IReadOnlyList<Statement> body, IReadOnlyList<ElseIfStatement> elseIfs, ElseStatement? otherwise, HtmlPlace place, bool negated = false)
        {
            RefuseBlock(statement, place, negated ? "unless" : "if");
            var ends = new List<HtmlPlace> { Branch(condition, body, negated) };
            ends.AddRange(elseIfs.Select(branch => Branch(branch.Condition, branch.Statements, isNegated: false)));
            ends.Add(otherwise is null ? place : Statements(otherwise.Statements ?? [], place));
            return Join(statement, ends, place, negated ? "unless" : "if");

            HtmlPlace Branch(Expression test, IReadOnlyList<Statement> statements, bool isNegated)
            {
                // {% if product %}: the object exists in the branch.
                var tested = test is MemberExpression { Segments: [IdentifierSegment segment] } && UsesProducts(segment.Identifier) ? segment.Identifier : null;
                var added = tested is not null && !isNegated && _presentObjects.Add(tested);
                if (tested is null)
                    Type(test);
                var end = Statements(statements, place);
                if (added)
                    _presentObjects.Remove(tested!);
                return end;
            }
        }

        private HtmlPlace Case(CaseStatement statement, HtmlPlace place)
        {
            RefuseBlock(statement, place, "case");
            var tested = Type(statement.Expression);
            foreach (var when in statement.Whens)
            {
                foreach (var option in when.Options)
                    Compare(when, tested, Type(option));
            }

            // Several branches can match, and are rendered one after the other.
            return Repeatable(statement, "case", place, start =>
                [.. statement.Whens.Select(when => Statements(when.Statements, start)), statement.Else is null ? start : Statements(statement.Else.Statements ?? [], start)]);
        }

        private HtmlPlace For(ForStatement loop, HtmlPlace place)
        {
            RefuseBlock(loop, place, "for");
            var list = Type(loop.Source);
            if (list is { IsKnown: true, IsList: false })
                Report(loop, "{% for %} goes through a list");
            foreach (var bound in new[] { loop.Limit, loop.OffsetIsContinue ? null : loop.Offset })
            {
                if (bound is not null && Type(bound) is { IsKnown: true } type && (type.IsList || type.Kind is not (Kind.Number or Kind.Nil)))
                    Report(loop, "limit and offset of {% for %} are numbers");
            }

            _scoped.Add((loop.Identifier, list with { IsList = false, Literal = null }));
            _scoped.Add(("forloop", new(Kind.ForLoop)));
            var joined = Loop(loop, loop.Statements, place);
            _scoped.RemoveRange(_scoped.Count - 2, 2);
            return loop.Else is null ? joined : Join(loop, [joined, Statements(loop.Else.Statements, place)], place, "for");
        }

        private HtmlPlace Loop(Statement loop, IReadOnlyList<Statement> body, HtmlPlace place)
        {
            _loops.Push(place);
            var joined = Repeatable(loop, "for", place, start => [Statements(body, start)]);
            _loops.Pop();
            return joined;
        }

        /// <summary>The place after rendering any of some branches, any number of times. The second one begins where the first ended, so they are checked for that too.</summary>
        private HtmlPlace Repeatable(Statement statement, string tag, HtmlPlace place, Func<HtmlPlace, List<HtmlPlace>> branches)
        {
            var joined = Join(statement, [.. branches(place), place], place, tag);
            return joined.IsBroken || joined == place ? joined : Join(statement, [.. branches(joined), joined], place, tag);
        }

        private HtmlPlace Paginate(ParserBlockStatement<Pagination> paginate, HtmlPlace place)
        {
            RefuseBlock(paginate, place, "paginate");
            var list = Type(paginate.Value.List);
            if (page is null || _loops.Count > 0 || (_paginated && _reporting))
                Report(paginate, "{% paginate %} can stand once in a page, and not in a partial or loop");
            else if (!page.Path.EndsWith("index.html", StringComparison.Ordinal))
                Report(paginate, "{% paginate %} can stand only in pages whose path ends with index.html; the others are at …/page-2/index.html");
            _paginated |= _reporting;
            if (list is { IsKnown: true, IsList: false } || paginate.Value.List is not MemberExpression { Segments: [IdentifierSegment] or [IdentifierSegment, IdentifierSegment] })
                Report(paginate, "{% paginate %} takes a list, such as products or collection.products");
            if (paginate.Value.Size is not LiteralExpression { Value: NumberValue } && Type(paginate.Value.Size).Kind is not (Kind.Number or Kind.Unknown))
                Report(paginate, "{% paginate … by %} takes a number");

            _scoped.Add(("paginate", new(Kind.Paginate)));
            var end = Statements(paginate.Statements, place);
            _scoped.RemoveAt(_scoped.Count - 1);
            return end;
        }

        private void RefuseBlock(Statement statement, HtmlPlace place, string tag)
        {
            if (place.RefusesBlocks || place.IsScriptType)
                Report(statement, $"{{% {tag} %}} stands {place.Describe()}, where no tag may be");
        }

        private HtmlPlace Join(Statement statement, IEnumerable<HtmlPlace> ends, HtmlPlace start, string tag)
        {
            HtmlPlace? joined = null;
            foreach (var end in ends)
            {
                if (end.IsBroken)
                    return HtmlPlace.Broken;
                var before = joined;
                joined = joined is null ? end : HtmlPlace.Join(joined.Value, end);
                if (joined is not null)
                    continue;
                Report(statement, $"{{% {tag} %}} begins {start.Describe()}, and ends either {before!.Value.Describe()} or {end.Describe()}; all of its branches must end in the same place");
                return HtmlPlace.Broken;
            }
            return joined ?? start;
        }

        private TemplateType Type(Expression expression, int depth = 0)
        {
            if (depth > MaxExpressionDepth)
            {
                Report(expression, "the expression has too many operators or filters");
                return TemplateType.Unknown;
            }

            switch (expression)
            {
                case LiteralExpression literal:
                    return literal.Value switch
                    {
                        NumberValue => TemplateType.Number with { Literal = literal.Value },
                        StringValue => TemplateType.Text with { Literal = literal.Value },
                        BooleanValue => TemplateType.Boolean,
                        _ => new(Kind.Nil),
                    };
                case RangeExpression range:
                    if (!IsRangeEnd(Type(range.From, depth + 1)) || !IsRangeEnd(Type(range.To, depth + 1)))
                        Report(expression, $"a range goes from and to numbers of at most {MaxRange}, or number settings with such a max and min");
                    return new(Kind.Number, IsList: true);
                case BinaryExpression binary:
                    Compare(expression, Type(binary.Left, depth + 1), Type(binary.Right, depth + 1));
                    return new(Kind.Condition);
                case FilterExpression filter:
                    var input = Type(filter.Input, depth + 1);
                    var result = TemplateFilters.Apply(filter, input, [.. filter.Parameters.Select(p => Type(p.Expression, depth + 1))], checker._bundle, out var problem);
                    if (problem is not null)
                        Report(filter, problem);
                    return result;
                case MemberExpression member:
                    return Member(member, depth);
                default:
                    Report(expression, $"{expression.GetType().Name} is not part of the template language");
                    return TemplateType.Unknown;
            }
        }

        // A range is a list in memory.
        private static bool IsRangeEnd(TemplateType type) => !type.IsKnown
            || (type is { Kind: Kind.Number, Literal: NumberValue number } && Math.Abs(number.ToNumberValue()) <= MaxRange)
            || type is { Kind: Kind.Number, Parameter: { Min: >= -MaxRange, Max: <= MaxRange } };

        private void Compare(object node, TemplateType one, TemplateType other)
        {
            foreach (var (setting, value) in new[] { (one, other), (other, one) })
            {
                if (setting.Parameter?.Choices is { } choices && value.Literal is StringValue literal && choices.All(c => c.Value != literal.ToStringValue()))
                {
                    Report(node, $"the setting {setting.Parameter.Name} is never '{literal.ToStringValue()}'; its choices are "
                        + string.Join(", ", choices.Select(c => c.Value)));
                }
            }
        }

        private TemplateType Member(MemberExpression member, int depth)
        {
            if (member.Segments[0] is not IdentifierSegment first)
            {
                Report(member, "a variable must be named, not computed");
                return TemplateType.Unknown;
            }

            var name = first.Identifier;
            if (Variable(name) is not { } type)
            {
                Report(member, UsesProducts(name)
                    ? $"a {name} is there only on pages that are made for each {name}, or within {{% if {name} %}}"
                    : $"there is no '{name}' here ({string.Join(", ", TemplateType.Globals.Keys)})");
                return TemplateType.Unknown;
            }

            var path = name;
            foreach (var segment in member.Segments.Skip(1))
            {
                var next = segment switch
                {
                    IdentifierSegment field when type is { Kind: Kind.Settings, IsList: false } => checker._parameters.GetValueOrDefault(field.Identifier) is { } parameter
                        ? TemplateType.Of(parameter) : null,
                    IdentifierSegment field => type.Field(field.Identifier),
                    IndexerSegment index when type.IsList && Type(index.Expression, depth + 1).IsScalar => new TemplateType(type.Kind),
                    _ => null,
                };
                if (!type.IsKnown)
                    return type;
                if (next is null)
                {
                    var field = (segment as IdentifierSegment)?.Identifier;
                    Report(member, field is null ? $"'{path}' can't be indexed with that"
                        : type is { Kind: Kind.Settings, IsList: false } ? $"'{path}.{field}': the template has no parameter '{field}'"
                        : $"'{path}' has no '{field}'{(type.FieldNames.Any() ? $" ({string.Join(", ", type.FieldNames)})" : "")}");
                    return TemplateType.Unknown;
                }
                path = $"{path}.{(segment as IdentifierSegment)?.Identifier ?? "[]"}";
                type = next;
            }
            return type;
        }

        private TemplateType? Variable(string name)
        {
            var scoped = _scoped.FindLastIndex(s => s.Name == name);
            if (scoped >= 0)
                return _scoped[scoped].Type;
            if (variables.TryGetValue(name, out var variable))
                return variable;
            if (globals.TryGetValue(name, out var global))
                return global;
            return _presentObjects.Contains(name) ? TemplateType.Globals[name] : null;
        }
    }
}

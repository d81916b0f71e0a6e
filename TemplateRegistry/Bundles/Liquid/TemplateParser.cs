using System.Text.Encodings.Web;
using Fluid;
using Fluid.Ast;
using Fluid.Parser;
using Parlot;
using Parlot.Fluent;

namespace Platform.Templates;

/// <summary>
/// Fluid's parser with those of Liquid's tags that templates may use, limits on nesting, and the positions of statements and expressions, which Fluid doesn't keep.
/// </summary>
internal sealed class TemplateParser : FluidParser
{
    /// <summary>The deepest nesting of blocks in one file.</summary>
    public const int MaxBlockDepth = 32;

    /// <summary>The deepest nesting of brackets in one expression.</summary>
    public const int MaxBracketDepth = 8;

    private static readonly string[] Allowed =
        ["assign", "break", "capture", "case", "comment", "#", "continue", "cycle", "echo", "for", "if", "liquid", "paginate", "raw", "render", "unless"];

    /// <param name="render">Renders the blocks of templates that are not Fluid's; null for a parser that only checks.</param>
    public TemplateParser(IBlockRenderer? render = null) : base(new FluidParserOptions { AllowLiquidTag = true })
    {
        RegisterParserBlock(
            "paginate",
            Primary.AndSkip(Terms.Text("by")).And(Primary).Then(static pair => new Pagination(pair.Item1, pair.Item2)),
            (pagination, body, output, encoder, context) => render!.PaginateAsync(pagination, body, output, encoder, context));
        // Fluid's own capture has no limit on its size.
        RegisterParserBlock(
            "capture",
            Identifier.Then(static name => new Capture(name)),
            (capture, body, _, encoder, context) => render!.CaptureAsync(capture, body, encoder, context));
        foreach (var (name, tag) in RegisteredTags.ToList())
            RegisteredTags[name] = Allowed.Contains(name) ? new Nested<Statement>(tag, MaxBlockDepth, "blocks") : new Refused(name);
        FilterExpression.Parser = new Nested<Expression>(FilterExpression.Parser!, MaxBlockDepth + MaxBracketDepth, "brackets");
        Primary.Parser = new Nested<Expression>(Primary.Parser!, MaxBlockDepth + MaxBracketDepth, "brackets");
    }

    /// <summary>Parses a page or partial.</summary>
    /// <exception cref="TemplateSyntaxException">It is not valid Liquid, or exceeds the limits.</exception>
    public TemplateSource ParseSource(string source)
    {
        var context = new Context(source);
        try
        {
            if (!Grammar.TryParse(context, out var statements, out var error))
                throw new TemplateSyntaxException(error?.Position.Line ?? 1, error?.Message ?? "is not valid Liquid");
            if (context.Scanner.Cursor.Eof)
                return new TemplateSource(source, new FluidTemplate(statements), context.Offsets);
            throw new TemplateSyntaxException(context.Scanner.Cursor.Position.Line, "has a tag that is not complete");
        }
        catch (Parlot.ParseException e)
        {
            throw new TemplateSyntaxException(e.Position.Line, e.Message);
        }
        catch (Fluid.ParseException e)
        {
            // The message ends with the position.
            throw new TemplateSyntaxException(context.Scanner.Cursor.Position.Line, e.Message.Split(" at (", 2)[0]);
        }
    }

    private sealed class Context(string text) : FluidParseContext(text)
    {
        public Dictionary<object, int> Offsets { get; } = new(ReferenceEqualityComparer.Instance);

        public int Depth { get; set; }
    }

    /// <summary>Records where a node begins, and limits how deep nodes are nested: Fluid's parser is recursive, and a stack overflow would end the process.</summary>
    private sealed class Nested<T>(Parser<T> inner, int limit, string what) : Parser<T> where T : class
    {
        public override bool Parse(ParseContext context, ref ParseResult<T> result)
        {
            var scope = (Context)context;
            var start = scope.Scanner.Cursor.Position;
            if (++scope.Depth > limit)
                throw new TemplateSyntaxException(start.Line, $"{what} are nested too deep");
            var parsed = inner.Parse(context, ref result);
            scope.Depth--;
            if (parsed)
                scope.Offsets.TryAdd(result.Value, start.Offset);
            return parsed;
        }
    }

    private sealed class Refused(string tag) : Parser<Statement>
    {
        public override bool Parse(ParseContext context, ref ParseResult<Statement> result) => throw new TemplateSyntaxException(
            context.Scanner.Cursor.Position.Line,
            $"{{% {tag} %}} is not a tag of templates" + (tag == "include" ? "; use {% render %}" : $" ({string.Join(", ", Allowed)})"));
    }
}

/// <summary>Renders the blocks that Fluid doesn't have, or not as templates need them.</summary>
internal interface IBlockRenderer
{
    /// <summary>Renders <c>{% paginate products by 24 %}…{% endpaginate %}</c>.</summary>
    ValueTask<Completion> PaginateAsync(Pagination pagination, IReadOnlyList<Statement> body, TextWriter output, TextEncoder encoder, TemplateContext context);

    /// <summary>Renders <c>{% capture name %}…{% endcapture %}</c>.</summary>
    ValueTask<Completion> CaptureAsync(Capture capture, IReadOnlyList<Statement> body, TextEncoder encoder, TemplateContext context);
}

/// <summary>The variable of <c>{% capture name %}</c>.</summary>
internal sealed record Capture(string Name);

/// <summary>The expressions of <c>{% paginate list by size %}</c>.</summary>
internal sealed record Pagination(Expression List, Expression Size);

/// <summary>A parsed page or partial.</summary>
internal sealed class TemplateSource(string text, FluidTemplate template, Dictionary<object, int> offsets)
{
    public string Text => text;

    public FluidTemplate Template => template;

    /// <summary>The line of a statement or expression, from 1.</summary>
    public int LineOf(object node)
    {
        // Operators and filters begin where their first operand does.
        while (!offsets.ContainsKey(node) && Inner(node) is { } inner)
            node = inner;
        return LineAt(offsets.GetValueOrDefault(node));
    }

    private static Expression? Inner(object node) => node switch
    {
        OutputStatement output => output.Expression,
        FilterExpression filter => filter.Input,
        BinaryExpression binary => binary.Left,
        _ => null,
    };

    public int LineAt(int offset) => text.AsSpan(0, Math.Min(offset, text.Length)).Count('\n') + 1;
}

/// <summary>A page or partial is not valid Liquid.</summary>
internal sealed class TemplateSyntaxException(int line, string message) : Exception(message)
{
    public int Line { get; } = line;
}

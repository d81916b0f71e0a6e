using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace Platform.Templates;

/// <summary>
/// What a template may say: a strict part of Handlebars, known well enough to be checked before anything is rendered. Paths are
/// checked against what a page can see, and every mustache against the place in the HTML where it stands, so that what a
/// merchant types can't become markup, script or style. Whatever isn't listed here is refused.
/// </summary>
internal static partial class TemplateLanguage
{
    /// <summary>The deepest that <c>#each</c> may be nested, through partials as well.</summary>
    public const int MaxEachDepth = 2;

    /// <summary>The deepest that blocks may be nested within one file.</summary>
    public const int MaxBlockDepth = 32;

    /// <summary>The longest chain of partials that include one another.</summary>
    public const int MaxPartialDepth = 16;

    /// <summary>The longest source of a page or partial, in UTF-16 code units.</summary>
    public const int MaxSourceLength = 256 * 1024;

    public const string PartialsFolder = "partials/";
    public const string AssetsFolder = "assets/";
    public const string Extension = ".hbs";

    /// <summary>Helpers that write a value: <c>{{asset "css/store.css"}}</c>.</summary>
    public static IReadOnlyList<string> Helpers { get; } = ["asset", "link", "url", "multiline"];

    /// <summary>Helpers around a block: <c>{{#eq a b}}…{{else}}…{{/eq}}</c>. All but <c>eq</c> are Handlebars' own.</summary>
    public static IReadOnlyList<string> BlockHelpers { get; } = ["if", "unless", "each", "with", "eq"];

    /// <summary>The name by which other sources include the partial of this entry: <c>partials/header.hbs</c> is <c>header</c>.</summary>
    public static string PartialName(string entry) => entry[PartialsFolder.Length..^Extension.Length];

    private static readonly SearchValues<char> Escaped = SearchValues.Create("&<>\"'`=");

    /// <summary>Replaces what HTML gives a meaning, in text and in quoted attribute values alike.</summary>
    public static void Escape(ReadOnlySpan<char> text, TextWriter output)
    {
        while (text.IndexOfAny(Escaped) is var next and >= 0)
        {
            output.Write(text[..next]);
            output.Write(text[next] switch
            {
                '&' => "&amp;",
                '<' => "&lt;",
                '>' => "&gt;",
                '"' => "&quot;",
                '\'' => "&#39;",
                '`' => "&#96;",
                _ => "&#61;",
            });
            text = text[(next + 1)..];
        }
        output.Write(text);
    }

    /// <summary>Checks all pages and partials of a bundle.</summary>
    /// <param name="manifest">Says which pages there are and which settings a page can see.</param>
    /// <param name="sources">The text of each <c>pages/*.hbs</c> and <c>partials/*.hbs</c> by its path in the bundle.</param>
    /// <param name="assets">The paths of the assets, without <c>assets/</c>.</param>
    /// <param name="issues">Takes whatever is wrong.</param>
    public static void Check(
        TemplateManifest manifest, IReadOnlyDictionary<string, string> sources, IReadOnlySet<string> assets, TemplateIssues issues)
    {
        var before = issues.Count;
        var parsed = new Dictionary<string, IReadOnlyList<Node>>();
        foreach (var (entry, source) in sources.OrderBy(s => s.Key, StringComparer.Ordinal))
        {
            try
            {
                parsed[entry] = new Parser(source).Parse();
            }
            catch (SyntaxException e)
            {
                issues.Add(entry, e.Line, e.Message);
            }
        }

        foreach (var page in manifest.Pages.Where(p => !sources.ContainsKey(p.Template)))
            issues.Add(TemplateManifest.Entry, $"pages: {page.Template} is not in the bundle");
        RefuseUnknownPartialsAndCycles(parsed, sources, issues);
        if (issues.Count > before)
            return;

        var checker = new Checker(manifest, sources, parsed, assets, issues);
        foreach (var page in manifest.Pages)
            checker.CheckPage(page);
    }

    private static void RefuseUnknownPartialsAndCycles(
        Dictionary<string, IReadOnlyList<Node>> parsed, IReadOnlyDictionary<string, string> sources, TemplateIssues issues)
    {
        var depths = new Dictionary<string, int>();
        foreach (var entry in parsed.Keys)
            DepthOf(entry, []);

        int DepthOf(string entry, List<string> path)
        {
            if (depths.TryGetValue(entry, out var known))
                return known;
            var deepest = 0;
            path.Add(entry);
            foreach (var partial in PartialsIn(parsed[entry]))
            {
                var target = PartialsFolder + partial.Name + Extension;
                var start = path.IndexOf(target);
                if (start >= 0)
                    issues.Add(entry, partial.Line, $"{{{{> {partial.Name}}}}} includes itself: {string.Join(" → ", path.Skip(start).Append(target))}");
                else if (parsed.ContainsKey(target))
                    deepest = Math.Max(deepest, DepthOf(target, path) + 1);
                else if (!sources.ContainsKey(target))
                    issues.Add(entry, partial.Line, $"there is no partial '{partial.Name}' ({target})");
            }
            path.RemoveAt(path.Count - 1);
            if (deepest > MaxPartialDepth)
                issues.Add(entry, Invariant($"includes a chain of more than {MaxPartialDepth} partials"));
            return depths[entry] = Math.Min(deepest, MaxPartialDepth);
        }
    }

    private static IEnumerable<PartialNode> PartialsIn(IReadOnlyList<Node> nodes) => nodes.SelectMany(node => node switch
    {
        PartialNode partial => [partial],
        BlockNode block => PartialsIn(block.Body).Concat(PartialsIn(block.Else ?? [])),
        _ => [],
    });

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    private abstract record Node(int Line);

    private sealed record TextNode(int Line, string Text) : Node(Line);

    private sealed record OutputNode(int Line, string? Helper, IReadOnlyList<Argument> Arguments) : Node(Line);

    private sealed record PartialNode(int Line, string Name) : Node(Line);

    private sealed record BlockNode(int Line, string Helper, IReadOnlyList<Argument> Arguments, IReadOnlyList<Node> Body, IReadOnlyList<Node>? Else)
        : Node(Line);

    private enum ArgumentKind { Path, String, Number, Boolean }

    private sealed record Argument(ArgumentKind Kind, string Text);

    [SuppressMessage("Design", "CA1064:Exceptions should be public", Justification = "Never leaves this file")]
    private sealed class SyntaxException(int line, string message) : Exception(message)
    {
        public int Line { get; } = line;
    }

    /// <summary>Cuts a source into text, mustaches, blocks and partials, and refuses everything else that Handlebars knows.</summary>
    private sealed class Parser(string source)
    {
        // no helper takes more than two arguments
        private const int MaxWords = 8;

        private int _position;
        private int _line = 1;

        public List<Node> Parse()
        {
            if (source.Length > MaxSourceLength)
                throw new SyntaxException(1, Invariant($"is longer than {MaxSourceLength} characters"));
            var (nodes, end) = ParseUntilBlockEnds(open: null, depth: 0);
            return end is null ? nodes : throw Wrong(end.Line, $"{end} stands in no block");
        }

        private sealed record Tag(int Line, string Content)
        {
            public override string ToString() => $"{{{{{Content}}}}}";
        }

        /// <summary>Reads nodes up to the tag that ends this part of a block (<c>else…</c> or <c>/name</c>), which is given back as well.</summary>
        private (List<Node> Nodes, Tag? End) ParseUntilBlockEnds(Tag? open, int depth)
        {
            if (depth > MaxBlockDepth)
                throw Wrong(open!.Line, Invariant($"blocks are nested deeper than {MaxBlockDepth}"));

            var nodes = new List<Node>();
            var text = new StringBuilder();
            var textLine = _line;
            while (true)
            {
                var next = source.IndexOf("{{", _position, StringComparison.Ordinal);
                text.Append(Take(next < 0 ? source.Length : next));
                if (next < 0)
                {
                    if (open is not null)
                        throw Wrong(open.Line, $"{open} is never closed");
                    Flush();
                    return (nodes, null);
                }

                var tag = TakeTag();
                if (tag.Content.StartsWith('!'))
                    continue;

                var content = TrimAround(tag, text);
                Flush();
                switch (content[0])
                {
                    case '/':
                        return (nodes, tag with { Content = content });
                    case '#':
                        nodes.Add(ParseBlock(tag with { Content = content }, depth));
                        break;
                    case '>':
                        nodes.Add(ParsePartial(tag.Line, content));
                        break;
                    case '^' or '&' or '*' or '{':
                        throw Wrong(tag.Line, $"{{{{{content[0]} is not part of the template language");
                    default:
                        if (IsElse(content))
                            return (nodes, tag with { Content = content });
                        nodes.Add(ParseOutput(tag.Line, content));
                        break;
                }
                textLine = _line;
            }

            void Flush()
            {
                if (text.Length > 0)
                    nodes.Add(new TextNode(textLine, text.ToString()));
                text.Clear();
            }
        }

        private static bool IsElse(string content) => content == "else" || content.StartsWith("else ", StringComparison.Ordinal);

        private BlockNode ParseBlock(Tag open, int depth)
        {
            var words = Words(open.Line, open.Content[1..]);
            if (words is not [{ Kind: ArgumentKind.Path } name, .. var arguments] || !BlockHelpers.Contains(name.Text))
                throw Wrong(open.Line, $"{open} is not a block of the template language ({string.Join(", ", BlockHelpers.Select(b => "#" + b))})");
            return ParseRestOfBlock(open, name.Text, arguments, name.Text, depth);
        }

        /// <summary>An <c>{{else if …}}</c> is a block in the else of the one before, and both end with the same tag.</summary>
        private BlockNode ParseRestOfBlock(Tag open, string helper, IReadOnlyList<Argument> arguments, string closedBy, int depth)
        {
            var (body, end) = ParseUntilBlockEnds(open, depth + 1);
            List<Node>? otherwise = null;
            if (IsElse(end!.Content))
            {
                if (end.Content == "else")
                {
                    var @else = end;
                    (otherwise, end) = ParseUntilBlockEnds(open, depth + 1);
                    if (IsElse(end!.Content))
                        throw Wrong(end.Line, $"{end} comes after {@else}");
                }
                else
                {
                    if (helper is not ("if" or "unless") || Words(end.Line, end.Content[5..]) is not [{ Text: "if" }, .. var condition])
                        throw Wrong(end.Line, $"{end} is not part of the template language; {{{{else}}}}, and {{{{else if …}}}} after an if or unless, are");
                    return new BlockNode(open.Line, helper, arguments, body, [ParseRestOfBlock(end, "if", condition, closedBy, depth + 1)]);
                }
            }

            if (end.Content[1..].Trim() != closedBy)
                throw Wrong(end.Line, Invariant($"{end} does not close {open} of line {open.Line}"));
            return new BlockNode(open.Line, helper, arguments, body, otherwise);
        }

        private static PartialNode ParsePartial(int line, string content)
        {
            var name = content[1..].Trim();
            if (!PartialNamePattern().IsMatch(name))
            {
                throw Wrong(line, $"{{{{{content}}}}} must be a partial's plain name, such as {{{{> header}}}}: "
                    + "a partial sees what is around it and takes no arguments");
            }
            return new PartialNode(line, name);
        }

        private static OutputNode ParseOutput(int line, string content)
        {
            var words = Words(line, content);
            return words switch
            {
                [{ Kind: ArgumentKind.Path } name, .. var arguments] when Helpers.Contains(name.Text) => new OutputNode(line, name.Text, arguments),
                [{ Kind: ArgumentKind.Path }] => new OutputNode(line, null, words),
                [{ Kind: ArgumentKind.Path } name, ..] => throw Wrong(line, $"there is no helper '{name.Text}'; {string.Join(", ", Helpers)} are the helpers"),
                _ => throw Wrong(line, $"{{{{{content}}}}} is not a path or helper"),
            };
        }

        private static List<Argument> Words(int line, string content)
        {
            var words = new List<Argument>();
            for (var rest = content.TrimStart(); rest.Length > 0; rest = rest.TrimStart())
            {
                if (rest[0] is '"' or '\'' && rest.IndexOf(rest[0], 1) is var close and > 0 && (close + 1 == rest.Length || char.IsWhiteSpace(rest[close + 1])))
                {
                    words.Add(new(ArgumentKind.String, rest[1..close]));
                    rest = rest[(close + 1)..];
                    continue;
                }

                var end = rest.AsSpan().IndexOfAny(" \t\r\n");
                var word = end < 0 ? rest : rest[..end];
                if (word is "true" or "false")
                    words.Add(new(ArgumentKind.Boolean, word));
                else if (NumberPattern().IsMatch(word))
                    words.Add(new(ArgumentKind.Number, word));
                else if (PathPattern().IsMatch(word))
                    words.Add(new(ArgumentKind.Path, word));
                else
                    throw Wrong(line, $"'{rest}' is not a path, \"string\", number, true or false" + (word[0] == '(' ? "; subexpressions are not part of the template language" : ""));
                if (words.Count > MaxWords)
                    throw Wrong(line, $"{{{{{content}}}}} has too many words");
                rest = rest[word.Length..];
            }
            return words;
        }

        private string Take(int end)
        {
            var taken = source[_position..end];
            _line += taken.Count(c => c == '\n');
            _position = end;
            return taken;
        }

        private Tag TakeTag()
        {
            var line = _line;
            if (_position > 0 && source[_position - 1] == '\\')
                throw Wrong(line, "\\{{ is not part of the template language; write &#123;&#123; for two braces");
            if (source.AsSpan(_position).StartsWith("{{{"))
                throw Wrong(line, "{{{ writes unescaped HTML, which is not allowed. Before a mustache, part a brace with a space");
            var isLongComment = source.AsSpan(_position).StartsWith("{{!--");
            var terminator = isLongComment ? "--}}" : "}}";
            var end = source.IndexOf(terminator, _position + (isLongComment ? 5 : 2), StringComparison.Ordinal);
            if (end < 0)
                throw Wrong(line, $"{{{{ without {terminator}");
            if (!isLongComment && source.AsSpan(end).StartsWith("}}}"))
                throw Wrong(line, "}}} can't be told from the end of unescaped HTML. After a mustache, part a brace with a space");

            Take(_position + 2);
            var content = Take(end).Trim();
            Take(end + terminator.Length);
            if (content.Contains("{{", StringComparison.Ordinal) && !content.StartsWith('!'))
                throw Wrong(line, "{{ without }}");
            if (content.Trim('~', ' ', '\t', '\r', '\n').Length == 0)
                throw Wrong(line, "{{}} is empty");
            return new Tag(line, content);
        }

        /// <summary>Takes the tildes off a tag and the white space they stand for out of the text, as the renderer will.</summary>
        private string TrimAround(Tag tag, StringBuilder text)
        {
            var content = tag.Content;
            if (content.StartsWith("~!", StringComparison.Ordinal))
                throw Wrong(tag.Line, "a comment takes no ~");
            if (content.StartsWith('~'))
            {
                while (text.Length > 0 && char.IsWhiteSpace(text[^1]))
                    text.Length--;
                content = content[1..];
            }
            if (content.EndsWith('~'))
            {
                var end = _position;
                while (end < source.Length && char.IsWhiteSpace(source[end]))
                    end++;
                Take(end);
                content = content[..^1];
            }
            return content.Trim();
        }

        private static SyntaxException Wrong(int line, string reason) => new(line, reason);
    }

    [GeneratedRegex(@"^[a-z][a-z0-9-]*\z", RegexOptions.ExplicitCapture | RegexOptions.NonBacktracking)]
    internal static partial Regex PartialNamePattern();

    [GeneratedRegex(@"^-?[0-9]{1,9}(\.[0-9]{1,9})?\z", RegexOptions.ExplicitCapture | RegexOptions.NonBacktracking)]
    private static partial Regex NumberPattern();

    // names with dots between, and any number of ../ before them
    [GeneratedRegex(@"^(\.\./)*(\.\.|\.|@?[A-Za-z][A-Za-z0-9]*(\.[A-Za-z][A-Za-z0-9]*)*)\z", RegexOptions.ExplicitCapture | RegexOptions.NonBacktracking)]
    private static partial Regex PathPattern();

    private enum Kind { Model, Shop, Settings, Products, Product, Page, Text, Url, Color, Number, Choice, Boolean }

    private sealed record Value(Kind Kind, TemplateParameter? Parameter = null)
    {
        public bool IsScalar => Kind >= Kind.Text;

        /// <summary>True for values whose form is checked so strictly that nothing in CSS can be broken with them.</summary>
        public bool IsCss => Kind is Kind.Color or Kind.Number or Kind.Choice;
    }

    /// <summary>What <c>this</c> is at some place, and what <c>../</c> leads to.</summary>
    private sealed record Scope(Kind This, Scope? Parent, bool HasProduct, int EachDepth)
    {
        public string Key => $"{This}{(HasProduct ? "+" : "")}{EachDepth.ToString(CultureInfo.InvariantCulture)}/{Parent?.Key}";
    }

    /// <summary>Walks each page through its partials, knowing what every path is and in which part of the HTML it stands.</summary>
    private sealed class Checker(
        TemplateManifest manifest,
        IReadOnlyDictionary<string, string> sources,
        Dictionary<string, IReadOnlyList<Node>> parsed,
        IReadOnlySet<string> assets,
        TemplateIssues issues)
    {
        // A partial is checked once for each way it is included in, and of those there can be exponentially many.
        private const int MostCharacters = 16 * 1024 * 1024;
        private int _characters;
        private readonly HashSet<string> _checked = [];
        private readonly HashSet<TemplateIssue> _reported = [];
        private readonly HashSet<string> _pages = [.. manifest.Pages.Where(p => p.ForEach is null).Select(p => p.Path)];
        private readonly Dictionary<string, TemplateParameter> _parameters = manifest.Parameters.ToDictionary(p => p.Name);

        public void CheckPage(TemplatePage page) =>
            CheckSource(page.Template, new Scope(Kind.Model, null, page.ForEach is not null, 0));

        private void CheckSource(string entry, Scope scope)
        {
            if (_characters > MostCharacters || !_checked.Add($"{entry} {scope.Key}"))
                return;
            _characters += sources[entry].Length + 1_000;
            if (_characters > MostCharacters)
                Report(entry, null, "the bundle's partials are included in too many different ways to be checked");
            var end = CheckNodes(entry, parsed[entry], scope, HtmlPlace.Content);
            if (!end.IsBroken && end.Kind != HtmlKind.Content)
                Report(entry, null, $"ends {end.Describe()}; a page or partial must end where it began, in an element's content");
        }

        private HtmlPlace CheckNodes(string entry, IReadOnlyList<Node> nodes, Scope scope, HtmlPlace place)
        {
            foreach (var node in nodes)
            {
                if (place.IsBroken)
                    break;
                switch (node)
                {
                    case TextNode text:
                        place = place.After(text.Text, out var problem, out var line);
                        if (problem is not null)
                            Report(entry, text.Line + line, problem);
                        break;
                    case PartialNode partial:
                        if (place.Kind != HtmlKind.Content)
                            Report(entry, partial.Line, $"{{{{> {partial.Name}}}}} stands {place.Describe()}; a partial can stand only in an element's content");
                        CheckSource(PartialsFolder + partial.Name + Extension, scope);
                        break;
                    case OutputNode output:
                        CheckOutput(entry, output, scope, place);
                        break;
                    case BlockNode block:
                        place = CheckBlock(entry, block, scope, place);
                        break;
                }
            }
            return place;
        }

        private HtmlPlace CheckBlock(string entry, BlockNode block, Scope scope, HtmlPlace place)
        {
            if (place.RefusesBlocks)
                Report(entry, block.Line, $"{{{{#{block.Helper}}}}} stands {place.Describe()}, where no mustache may be");

            var inside = CheckBlockArguments(entry, block, scope);
            var afterBody = CheckNodes(entry, block.Body, inside, place);
            var afterElse = block.Else is { } otherwise ? CheckNodes(entry, otherwise, scope, place) : place;
            if (afterBody.IsBroken || afterElse.IsBroken)
                return HtmlPlace.Broken;
            if (HtmlPlace.Join(afterBody, afterElse) is { } joined)
                return joined;

            Report(entry, block.Line, block.Else is null
                ? $"{{{{#{block.Helper}}}}} begins {place.Describe()} and ends {afterBody.Describe()}; it must end where it begins"
                : $"{{{{#{block.Helper}}}}} ends {afterBody.Describe()} and its {{{{else}}}} {afterElse.Describe()}; both must end in the same place");
            return HtmlPlace.Broken;
        }

        private Scope CheckBlockArguments(string entry, BlockNode block, Scope scope)
        {
            var expected = block.Helper == "eq" ? 2 : 1;
            if (block.Arguments.Count != expected)
            {
                Report(entry, block.Line, Invariant($"{{{{#{block.Helper}}}}} takes {expected} argument{(expected == 1 ? "" : "s")}, not {block.Arguments.Count}"));
                return scope;
            }

            switch (block.Helper)
            {
                case "each":
                    if (Resolve(entry, block.Line, block.Arguments[0], scope) is { } list && list.Kind != Kind.Products)
                        Report(entry, block.Line, $"'{block.Arguments[0].Text}' is no list; {{{{#each}}}} goes through products");
                    if (scope.EachDepth >= MaxEachDepth)
                        Report(entry, block.Line, Invariant($"{{{{#each}}}} is nested deeper than {MaxEachDepth}"));
                    return new Scope(Kind.Product, scope, scope.HasProduct, Math.Min(scope.EachDepth + 1, MaxEachDepth));

                case "with":
                    var value = Resolve(entry, block.Line, block.Arguments[0], scope, mayBeAbsent: true);
                    if (value is { Kind: Kind.Products or >= Kind.Text })
                        Report(entry, block.Line, $"'{block.Arguments[0].Text}' has no fields; {{{{#with}}}} takes shop, settings, page or product");
                    return new Scope(value is { IsScalar: false } ? value.Kind : scope.This, scope, scope.HasProduct || value?.Kind == Kind.Product, scope.EachDepth);

                case "eq":
                    CheckEq(entry, block, scope);
                    return scope;

                default:
                    var tested = Resolve(entry, block.Line, block.Arguments[0], scope, mayBeAbsent: true);
                    return block.Helper == "if" && tested?.Kind == Kind.Product ? scope with { HasProduct = true } : scope;
            }
        }

        private void CheckEq(string entry, BlockNode block, Scope scope)
        {
            var sides = block.Arguments.Select(a => (Argument: a, Value: a.Kind == ArgumentKind.Path ? Resolve(entry, block.Line, a, scope) : null)).ToArray();
            foreach (var (argument, value) in sides)
            {
                if (value is { IsScalar: false })
                    Report(entry, block.Line, $"'{argument.Text}' is no single value; {{{{#eq}}}} compares text, numbers and booleans");
            }
            foreach (var (one, other) in new[] { (sides[0], sides[1]), (sides[1], sides[0]) })
            {
                if (one.Value?.Parameter?.Choices is { } choices && other.Argument.Kind == ArgumentKind.String && choices.All(c => c.Value != other.Argument.Text))
                {
                    Report(entry, block.Line, $"'{one.Argument.Text}' is never \"{other.Argument.Text}\"; "
                        + $"its choices are {string.Join(", ", choices.Select(c => c.Value))}");
                }
            }
        }

        private void CheckOutput(string entry, OutputNode output, Scope scope, HtmlPlace place)
        {
            var said = output.Helper ?? output.Arguments[0].Text;
            var value = output.Helper is null ? Resolve(entry, output.Line, output.Arguments[0], scope) : null;
            if (output.Helper is not null)
                CheckHelper(entry, output, scope);
            else if (value is { IsScalar: false })
                Report(entry, output.Line, $"'{said}' has fields; it can't be written as text");
            else if (value is { Kind: Kind.Boolean })
                Report(entry, output.Line, $"'{said}' is a boolean; test it with {{{{#if}}}}");

            var isUrl = output.Helper is "asset" or "link" or "url" || value is { Kind: Kind.Url };
            var isCss = output.Helper is "asset" || value is { IsCss: true };
            // A value that did not resolve has been reported.
            var isKnown = output.Helper is not null || value is not null;
            if (place.RefusesOutput)
                Report(entry, output.Line, $"{{{{{said}}}}} stands {place.Describe()}, where no mustache may be");
            else if (place.IsCss && !isCss && isKnown)
                Report(entry, output.Line, $"{{{{{said}}}}} stands {place.Describe()}, where only assets and settings of the types color, number and choice may be");
            else if (place.LoadsCode && output.Helper is not "asset" && isKnown)
                Report(entry, output.Line, $"{{{{{said}}}}} stands {place.Describe()}, which runs what it loads; only {{{{asset}}}} may be there");
            else if (place.BeginsUrl && !isUrl && isKnown)
            {
                Report(entry, output.Line, $"{{{{{said}}}}} begins the address {place.Describe()}, where only settings of the type url, "
                    + "product urls, {{asset}}, {{link}} and {{url}} may be");
            }
            else if (output.Helper == "multiline" && place.Kind != HtmlKind.Content)
                Report(entry, output.Line, $"{{{{multiline}}}} stands {place.Describe()}, but writes <br> elements");
        }

        private void CheckHelper(string entry, OutputNode output, Scope scope)
        {
            if (output.Arguments is not [var argument])
            {
                Report(entry, output.Line, $"{{{{{output.Helper}}}}} takes one argument");
                return;
            }

            switch (output.Helper)
            {
                case "asset" or "link" when argument.Kind != ArgumentKind.String:
                    Report(entry, output.Line, $"{{{{{output.Helper}}}}} takes a path in quotes");
                    break;
                case "asset" when !assets.Contains(argument.Text):
                    Report(entry, output.Line, $"there is no asset '{argument.Text}' ({AssetsFolder}{argument.Text})");
                    break;
                case "link" when !_pages.Contains(argument.Text):
                    Report(entry, output.Line, $"there is no page '{argument.Text}'; {string.Join(", ", _pages.Order(StringComparer.Ordinal))} are the pages");
                    break;
                case "url" when argument.Kind != ArgumentKind.Path || Resolve(entry, output.Line, argument, scope) is { Kind: not Kind.Product }:
                    Report(entry, output.Line, "{{url}} takes a product");
                    break;
                case "multiline" when argument.Kind != ArgumentKind.Path || Resolve(entry, output.Line, argument, scope) is { IsScalar: false }:
                    Report(entry, output.Line, "{{multiline}} takes a text");
                    break;
            }
        }

        /// <summary>What a path leads to; null after reporting that it leads nowhere.</summary>
        private Value? Resolve(string entry, int line, Argument argument, Scope scope, bool mayBeAbsent = false)
        {
            if (argument.Kind != ArgumentKind.Path)
            {
                Report(entry, line, $"'{argument.Text}' stands where a path must be");
                return null;
            }

            var path = argument.Text;
            Scope? from = scope;
            while (from is not null && path.StartsWith("..", StringComparison.Ordinal))
            {
                from = from.Parent;
                path = path.StartsWith("../", StringComparison.Ordinal) ? path[3..] : path[2..];
            }
            if (from is null)
            {
                Report(entry, line, $"'{argument.Text}' leads out of the page's model");
                return null;
            }

            var names = path is "" or "." ? [] : path.Split('.');
            var value = new Value(from.This);
            if (names is ["this", .. var rest])
            {
                names = rest;
            }
            else if (names is ["@root", .. var fromRoot])
            {
                (value, names) = (new Value(Kind.Model), fromRoot);
            }
            else if (names is ["@index"] or ["@first"] or ["@last"] && from.EachDepth > 0)
            {
                return new Value(names[0] == "@index" ? Kind.Number : Kind.Boolean);
            }

            foreach (var name in names)
            {
                var field = FieldOf(value.Kind, name);
                if (field is null)
                {
                    Report(entry, line, value.Kind == Kind.Settings
                        ? $"'{argument.Text}': the template has no parameter '{name}'"
                        : $"'{argument.Text}': there is no '{name}' here{Known(value.Kind)}");
                    return null;
                }
                if (field.Kind == Kind.Product && !from.HasProduct && !(mayBeAbsent && name == names[^1]))
                {
                    Report(entry, line, $"'{argument.Text}': a product is there only on pages that are made for each product, or within {{{{#if product}}}}");
                    return null;
                }
                value = field;
            }
            return value;
        }

        private Value? FieldOf(Kind kind, string name) => kind == Kind.Settings
            ? _parameters.GetValueOrDefault(name) is { } parameter ? new Value(KindOf(parameter.Type), parameter) : null
            : Fields.GetValueOrDefault(kind)?.GetValueOrDefault(name) is { } field ? new Value(field)
            : null;

        private static Kind KindOf(TemplateParameterType type) => type switch
        {
            TemplateParameterType.Url => Kind.Url,
            TemplateParameterType.Color => Kind.Color,
            TemplateParameterType.Number => Kind.Number,
            TemplateParameterType.Boolean => Kind.Boolean,
            TemplateParameterType.Choice => Kind.Choice,
            _ => Kind.Text,
        };

        private static string Known(Kind kind) => Fields.TryGetValue(kind, out var fields)
            ? $" ({string.Join(", ", fields.Keys.Order(StringComparer.Ordinal))})" : "";

        // What a page can see. The renderer's model has the same names.
        private static readonly Dictionary<Kind, Dictionary<string, Kind?>> Fields = new()
        {
            [Kind.Model] = new()
            {
                ["shop"] = Kind.Shop,
                ["settings"] = Kind.Settings,
                ["products"] = Kind.Products,
                ["product"] = Kind.Product,
                ["page"] = Kind.Page,
                ["year"] = Kind.Number,
            },
            [Kind.Shop] = new() { ["name"] = Kind.Text, ["slug"] = Kind.Text, ["url"] = Kind.Url },
            [Kind.Page] = new() { ["path"] = Kind.Text, ["root"] = Kind.Url },
            [Kind.Product] = new()
            {
                ["sku"] = Kind.Text,
                ["slug"] = Kind.Text,
                ["name"] = Kind.Text,
                ["description"] = Kind.Text,
                ["price"] = Kind.Text,
                ["priceText"] = Kind.Text,
                ["currency"] = Kind.Text,
                ["imageUrl"] = Kind.Url,
                ["url"] = Kind.Url,
            },
        };

        // A partial that several pages include would say the same thing for each.
        private void Report(string entry, int? line, string reason)
        {
            var issue = new TemplateIssue(entry, line, reason);
            if (_reported.Add(issue))
                issues.Add(issue.Entry, issue.Line, issue.Reason);
        }
    }

    private enum HtmlKind
    {
        Broken, Content, RawText, Comment, Declaration, TagOpen, TagName, Tag, TagBoundary, AttributeName, AfterAttributeName, BeforeValue,
        DoubleQuoted, SingleQuoted, Unquoted,
    }

    /// <summary>
    /// A place in HTML. Follows the tokenizer of the HTML standard closely enough to know, at a mustache, whether a browser would
    /// be in text, in a tag, in which attribute, in a script or a style.
    /// </summary>
    private readonly partial record struct HtmlPlace(HtmlKind Kind, string Element = "", string Attribute = "", string Before = "")
    {
        public static readonly HtmlPlace Content = new(HtmlKind.Content);
        public static readonly HtmlPlace Broken = new(HtmlKind.Broken);

        // A value's beginning that no longer can be told, because branches differ in it.
        private const string Unknown = "\0";

        // More of an address is not needed to know its scheme.
        private const int LongestUrlStart = 256;

        private static readonly string[] RawTextElements = ["script", "style", "textarea", "title", "iframe", "noembed", "noframes", "noscript", "xmp", "plaintext"];
        private static readonly string[] UrlAttributes =
            ["href", "src", "srcset", "action", "formaction", "poster", "data", "cite", "background", "ping", "manifest", "xlink:href"];

        public bool IsBroken => Kind == HtmlKind.Broken;

        private bool IsQuoted => Kind is HtmlKind.DoubleQuoted or HtmlKind.SingleQuoted;

        private bool IsInTag => Kind is HtmlKind.TagName or HtmlKind.Tag or HtmlKind.TagBoundary or HtmlKind.AttributeName or HtmlKind.AfterAttributeName;

        private bool IsCode => (Kind == HtmlKind.RawText && Element is not ("style" or "title" or "textarea"))
            || (IsQuoted && (Attribute.StartsWith("on", StringComparison.Ordinal) || Attribute == "srcdoc"));

        public bool IsCss => (Kind == HtmlKind.RawText && Element == "style") || (IsQuoted && Attribute == "style");

        public bool BeginsUrl => IsQuoted && UrlAttributes.Contains(Attribute) && !SafeUrlStart().IsMatch(Before);

        public bool LoadsCode => IsQuoted && Element is "script" or "object" or "embed" or "base" && UrlAttributes.Contains(Attribute);

        public bool RefusesBlocks => IsCode || Kind is HtmlKind.Comment or HtmlKind.Declaration or HtmlKind.TagOpen or HtmlKind.BeforeValue or HtmlKind.Unquoted;

        public bool RefusesOutput => RefusesBlocks || IsInTag;

        public string Describe() => Kind switch
        {
            HtmlKind.Content => "in an element's content",
            HtmlKind.RawText => $"in <{Element}>",
            HtmlKind.Comment => "in an HTML comment",
            HtmlKind.Declaration => "in a declaration",
            HtmlKind.TagOpen => "in the name of an element",
            HtmlKind.BeforeValue or HtmlKind.Unquoted => $"in the attribute {Attribute} of <{Element}> without quotes",
            HtmlKind.DoubleQuoted or HtmlKind.SingleQuoted => $"in the attribute {Attribute} of <{Element}>",
            _ => $"in the tag <{Element}> outside of an attribute's quotes",
        };

        /// <summary>Where one is after one branch or the other; null when that is not one place.</summary>
        public static HtmlPlace? Join(HtmlPlace one, HtmlPlace other)
        {
            if (one == other)
                return one;
            if (one.IsInTag && other.IsInTag && one.Element == other.Element)
                return new(HtmlKind.TagBoundary, one.Element);
            if (one.Kind == other.Kind && one.IsQuoted && one.Element == other.Element && one.Attribute == other.Attribute)
                return one with { Before = SafeUrlStart().IsMatch(one.Before) && SafeUrlStart().IsMatch(other.Before) ? one.Before : Unknown };
            return null;
        }

        /// <summary>The place after some of a template's own text, and what is wrong with that text, at which line of it.</summary>
        public HtmlPlace After(string text, out string? problem, out int line)
        {
            problem = null;
            var (kind, element, attribute, before) = this;
            var at = 0;
            while (at < text.Length && problem is null)
            {
                var c = text[at];
                switch (kind)
                {
                    case HtmlKind.Content:
                        var open = text.IndexOf('<', at);
                        at = open < 0 ? text.Length : open + 1;
                        if (open >= 0)
                            (kind, element, attribute, before) = (HtmlKind.TagOpen, "", "", "");
                        break;

                    case HtmlKind.TagOpen:
                        if (text.AsSpan(at).StartsWith("!--"))
                            (kind, at) = (HtmlKind.Comment, at + 3);
                        else if (c is '!' or '?')
                            (kind, at) = (HtmlKind.Declaration, at + 1);
                        else if (c == '/' && element.Length == 0)
                            (element, at) = ("/", at + 1);
                        else if (char.IsAsciiLetter(c))
                            kind = HtmlKind.TagName;
                        else
                            (kind, element) = (element.Length > 0 ? HtmlKind.Declaration : HtmlKind.Content, "");
                        break;

                    case HtmlKind.TagName when !IsSpace(c) && c is not ('/' or '>'):
                        element += TakeUntil(" \t\r\n\f/>", text, ref at);
                        break;

                    case HtmlKind.TagBoundary when !IsSpace(c) && c is not ('/' or '>'):
                        problem = $"after the block in the tag <{element}> must be a space, so that no attribute's name depends on it";
                        break;

                    case HtmlKind.TagName or HtmlKind.TagBoundary or HtmlKind.Tag:
                        at++;
                        if (c == '>')
                            (kind, element, attribute) = RawTextElements.Contains(element) ? (HtmlKind.RawText, element, "") : (HtmlKind.Content, "", "");
                        else if (IsSpace(c) || c == '/')
                            kind = HtmlKind.Tag;
                        else
                            (kind, attribute) = (HtmlKind.AttributeName, c == '=' ? "=" : TakeUntil(" \t\r\n\f/>=", text, ref at, from: at - 1));
                        break;

                    case HtmlKind.AttributeName when !IsSpace(c) && c is not ('=' or '/' or '>'):
                        attribute += TakeUntil(" \t\r\n\f/>=", text, ref at);
                        break;

                    case HtmlKind.AttributeName or HtmlKind.AfterAttributeName:
                        if (c == '=')
                            (kind, at) = (HtmlKind.BeforeValue, at + 1);
                        else if (IsSpace(c))
                            (kind, at) = (HtmlKind.AfterAttributeName, at + 1);
                        else
                            kind = HtmlKind.Tag;
                        break;

                    case HtmlKind.BeforeValue:
                        before = "";
                        if (c is '"' or '\'')
                            (kind, at) = (c == '"' ? HtmlKind.DoubleQuoted : HtmlKind.SingleQuoted, at + 1);
                        else if (IsSpace(c))
                            at++;
                        else
                            kind = c == '>' ? HtmlKind.Tag : HtmlKind.Unquoted;
                        break;

                    case HtmlKind.DoubleQuoted or HtmlKind.SingleQuoted:
                        var quote = text.IndexOf(kind == HtmlKind.DoubleQuoted ? '"' : '\'', at);
                        if (before.Length < LongestUrlStart)
                            before += quote < 0 ? text[at..] : text[at..quote];
                        at = quote < 0 ? text.Length : quote + 1;
                        if (UrlAttributes.Contains(attribute) && ScriptUrl().IsMatch(before))
                            problem = $"the attribute {attribute} of <{element}> must not be a script";
                        else if (quote >= 0)
                            (kind, attribute, before) = (HtmlKind.Tag, "", "");
                        break;

                    case HtmlKind.Unquoted:
                        if (IsSpace(c) || c == '>')
                            (kind, attribute) = (HtmlKind.Tag, "");
                        else
                            at++;
                        break;

                    case HtmlKind.Comment or HtmlKind.Declaration:
                        var terminator = kind == HtmlKind.Comment ? "-->" : ">";
                        var close = text.IndexOf(terminator, at, StringComparison.Ordinal);
                        (kind, element, at) = close < 0 ? (kind, element, text.Length) : (HtmlKind.Content, "", close + terminator.Length);
                        break;

                    case HtmlKind.RawText:
                        var endTag = text.IndexOf("</" + element, at, StringComparison.OrdinalIgnoreCase);
                        at = endTag < 0 ? text.Length : endTag + 2 + element.Length;
                        if (endTag >= 0 && (at == text.Length || IsSpace(text[at]) || text[at] is '/' or '>'))
                            (kind, element) = (HtmlKind.TagName, "/" + element);
                        break;

                    default:
                        at = text.Length;
                        break;
                }
            }

            line = text.AsSpan(0, Math.Min(at, text.Length)).Count('\n');
            return problem is null ? new(kind, element, attribute, before) : Broken;
        }

        private static string TakeUntil(ReadOnlySpan<char> ends, string text, ref int at, int? from = null)
        {
            var start = from ?? at;
            var length = text.AsSpan(start).IndexOfAny(ends);
            at = length < 0 ? text.Length : start + length;
            return text[start..at].ToLowerInvariant();
        }

        // HTML's white space, which is less than .NET's.
        private static bool IsSpace(char c) => c is ' ' or '\t' or '\r' or '\n' or '\f';

        // After one of these, whatever follows can no longer choose the scheme.
        [GeneratedRegex(@"^\s*(https?:|mailto:|tel:|sms:|[A-Za-z0-9._~-]*[/?#])", RegexOptions.IgnoreCase | RegexOptions.ExplicitCapture | RegexOptions.NonBacktracking)]
        private static partial Regex SafeUrlStart();

        [GeneratedRegex(@"^\s*(javascript|vbscript):", RegexOptions.IgnoreCase | RegexOptions.ExplicitCapture | RegexOptions.NonBacktracking)]
        private static partial Regex ScriptUrl();
    }
}

using System.Text.RegularExpressions;

namespace Platform.Templates;

internal enum HtmlKind
{
    Broken, Content, RawText, Comment, Declaration, TagOpen, TagName, Tag, TagBoundary, AttributeName, AfterAttributeName, BeforeValue,
    DoubleQuoted, SingleQuoted, Unquoted,
}

/// <summary>
/// A place in HTML: at an output of a template, it says whether a browser would be in text, in a tag, in which attribute, in a script or a style. Follows the
/// tokenizer of the HTML standard (https://html.spec.whatwg.org/#tokenization).
/// </summary>
/// <param name="Kind">The tokenizer's state.</param>
/// <param name="Element">The element whose tag or raw text this is.</param>
/// <param name="Attribute">The attribute's name.</param>
/// <param name="Before">The beginning of the attribute's value, as far as it is the template's own text.</param>
/// <param name="ScriptType">The <c>type</c> of a <c>&lt;script&gt;</c>, in lower case.</param>
internal readonly partial record struct HtmlPlace(HtmlKind Kind, string Element = "", string Attribute = "", string Before = "", string ScriptType = "")
{
    public static readonly HtmlPlace Content = new(HtmlKind.Content);
    public static readonly HtmlPlace Broken = new(HtmlKind.Broken);

    // The beginning of a value that differs between branches.
    private const string Unknown = "\0";

    // The scheme of a longer address is known by then.
    private const int LongestUrlStart = 256;

    private static readonly string[] RawTextElements = ["script", "style", "textarea", "title", "iframe", "noembed", "noframes", "noscript", "xmp", "plaintext"];
    private static readonly string[] UrlAttributes =
        ["href", "src", "srcset", "action", "formaction", "poster", "data", "cite", "background", "ping", "manifest", "xlink:href"];

    public bool IsBroken => Kind == HtmlKind.Broken;

    private bool IsQuoted => Kind is HtmlKind.DoubleQuoted or HtmlKind.SingleQuoted;

    private bool IsInTag => Kind is HtmlKind.TagName or HtmlKind.Tag or HtmlKind.TagBoundary or HtmlKind.AttributeName or HtmlKind.AfterAttributeName;

    /// <summary>In a script that browsers don't run, because its type is JSON.</summary>
    public bool IsJson => Kind == HtmlKind.RawText && Element == "script" && ScriptType is "application/ld+json" or "application/json";

    /// <summary>Within the type of a script, which decides whether it is run.</summary>
    public bool IsScriptType => IsQuoted && Element == "script" && Attribute == "type";

    private bool IsCode => (Kind == HtmlKind.RawText && Element is not ("style" or "title" or "textarea") && !IsJson)
        || (IsQuoted && (Attribute.StartsWith("on", StringComparison.Ordinal) || Attribute == "srcdoc"));

    public bool IsCss => (Kind == HtmlKind.RawText && Element == "style") || (IsQuoted && Attribute == "style");

    public bool BeginsUrl => IsQuoted && UrlAttributes.Contains(Attribute) && !SafeUrlStart().IsMatch(Before);

    public bool LoadsCode => IsQuoted && Element is "script" or "object" or "embed" or "base" && UrlAttributes.Contains(Attribute);

    public bool RefusesBlocks => IsCode || Kind is HtmlKind.Comment or HtmlKind.Declaration or HtmlKind.TagOpen or HtmlKind.BeforeValue or HtmlKind.Unquoted;

    public bool RefusesOutput => RefusesBlocks || IsInTag;

    public string Describe() => Kind switch
    {
        HtmlKind.Content => "in an element's content",
        HtmlKind.RawText => IsJson ? $"in <{Element} type=\"{ScriptType}\">" : $"in <{Element}>",
        HtmlKind.Comment => "in an HTML comment",
        HtmlKind.Declaration => "in a declaration",
        HtmlKind.TagOpen => "in the name of an element",
        HtmlKind.BeforeValue or HtmlKind.Unquoted => $"in the attribute {Attribute} of <{Element}> without quotes",
        HtmlKind.DoubleQuoted or HtmlKind.SingleQuoted => $"in the attribute {Attribute} of <{Element}>",
        _ => $"in the tag <{Element}> outside of an attribute's quotes",
    };

    /// <summary>The place after either of two branches; null if they end in places that differ.</summary>
    public static HtmlPlace? Join(HtmlPlace one, HtmlPlace other)
    {
        if (one == other)
            return one;
        var scriptType = one.ScriptType == other.ScriptType ? one.ScriptType : "";
        if (one.IsInTag && other.IsInTag && one.Element == other.Element)
            return new(HtmlKind.TagBoundary, one.Element, ScriptType: scriptType);
        if (one.Kind == other.Kind && one.IsQuoted && one.Element == other.Element && one.Attribute == other.Attribute)
            return one with { Before = SafeUrlStart().IsMatch(one.Before) && SafeUrlStart().IsMatch(other.Before) ? one.Before : Unknown, ScriptType = scriptType };
        return null;
    }

    /// <summary>The place after some of the template's own text.</summary>
    /// <param name="text">The text.</param>
    /// <param name="problem">What is wrong with the text, or null.</param>
    /// <param name="line">The line of the problem, from 0.</param>
    public HtmlPlace After(string text, out string? problem, out int line)
    {
        problem = null;
        var (kind, element, attribute, before, scriptType) = this;
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
                        (kind, element, attribute, before, scriptType) = (HtmlKind.TagOpen, "", "", "", "");
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
                        (kind, element, attribute, scriptType) = RawTextElements.Contains(element) ? (HtmlKind.RawText, element, "", scriptType) : (HtmlKind.Content, "", "", "");
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
                    {
                        if (element == "script" && attribute == "type" && scriptType.Length == 0)
                            scriptType = before.Trim().ToLowerInvariant();
                        (kind, attribute, before) = (HtmlKind.Tag, "", "");
                    }
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
        return problem is null ? new(kind, element, attribute, before, scriptType) : Broken;
    }

    private static string TakeUntil(ReadOnlySpan<char> ends, string text, ref int at, int? from = null)
    {
        var start = from ?? at;
        var length = text.AsSpan(start).IndexOfAny(ends);
        at = length < 0 ? text.Length : start + length;
        return text[start..at].ToLowerInvariant();
    }

    // HTML has fewer white-space characters than .NET.
    private static bool IsSpace(char c) => c is ' ' or '\t' or '\r' or '\n' or '\f';

    // After one of these, what follows can't change the scheme.
    [GeneratedRegex(@"^\s*(https?:|mailto:|tel:|sms:|[A-Za-z0-9._~-]*[/?#])", RegexOptions.IgnoreCase | RegexOptions.ExplicitCapture | RegexOptions.NonBacktracking)]
    private static partial Regex SafeUrlStart();

    [GeneratedRegex(@"^\s*(javascript|vbscript):", RegexOptions.IgnoreCase | RegexOptions.ExplicitCapture | RegexOptions.NonBacktracking)]
    private static partial Regex ScriptUrl();
}

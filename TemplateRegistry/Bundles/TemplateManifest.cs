using System.Text.Json;
using System.Text.RegularExpressions;

namespace Platform.Templates;

/// <summary>A bundle's <c>template.json</c>: the template's name and version, the parameters that a merchant can set, and the pages of a store.</summary>
internal sealed record TemplateManifest(
    string Name,
    string Version,
    string Title,
    string Description,
    IReadOnlyList<TemplateParameter> Parameters,
    IReadOnlyList<TemplatePage> Pages)
{
    /// <summary>The manifest's path in a bundle.</summary>
    public const string Entry = "template.json";

    private const int MaxParameters = 50;
    private const int MaxPages = 50;

    /// <summary>Reads and validates a manifest. Adds an issue for everything that is wrong with it, and then returns null.</summary>
    public static TemplateManifest? Read(ReadOnlyMemory<byte> json, TemplateIssues issues)
    {
        JsonDocument document;
        try
        {
            document = JsonDocument.Parse(json.Span.StartsWith("\uFEFF"u8) ? json[3..] : json, new JsonDocumentOptions { AllowDuplicateProperties = false, MaxDepth = 16 });
        }
        catch (JsonException e)
        {
            issues.Add(Entry, (int?)e.LineNumber + 1, $"is not valid JSON: {JsonProblem(e)}");
            return null;
        }

        using (document)
        {
            try
            {
                return Read(document.RootElement, issues);
            }
            catch (InvalidOperationException)
            {
                // Thrown by JsonElement.GetString for an escape that is not valid Unicode, such as a lone \ud800.
                issues.Add(Entry, "has a string that is not valid Unicode");
                return null;
            }
        }
    }

    private static TemplateManifest? Read(JsonElement root, TemplateIssues issues)
    {
        if (root.ValueKind != JsonValueKind.Object)
        {
            issues.Add(Entry, "must be a JSON object");
            return null;
        }

        var before = issues.Count;
        var fields = new JsonFields(root, "", issues);
        var name = fields.Text("name", required: true, maxLength: 63);
        var version = fields.Text("version", required: true, maxLength: TemplateNames.MaxVersionLength);
        var title = fields.Text("title", required: true, maxLength: 100);
        var description = fields.Text("description", required: false, maxLength: 1_000);
        var parameters = fields.Objects("parameters", required: false, MaxParameters).ConvertAll(TemplateParameter.Read);
        var pages = fields.Objects("pages", required: true, MaxPages).ConvertAll(TemplatePage.Read);
        fields.RefuseOthers();

        if (name is { Length: > 0 } && !TemplateNames.IsName(name))
            fields.Refuse("name", TemplateNames.NameRule);
        if (version is { Length: > 0 } && !TemplateNames.IsVersion(version))
            fields.Refuse("version", TemplateNames.VersionRule);
        foreach (var twice in parameters.GroupBy(p => p.Name).Where(g => g.Key.Length > 0 && g.Count() > 1))
            fields.Refuse("parameters", $"has '{twice.Key}' twice");
        TemplatePage.CheckTogether(pages, fields);

        return issues.Count > before ? null : new TemplateManifest(name!, version!, title!, description ?? "", parameters, pages);
    }

    // Cuts off the path and position at the end of the framework's message; the issue has its own.
    private static string JsonProblem(JsonException e) =>
        e.Message.Split(" Path:", 2)[0].Split(" LineNumber:", 2)[0];
}

/// <summary>The names of templates and their versions.</summary>
internal static partial class TemplateNames
{
    public const int MaxVersionLength = 64;
    public const string NameRule = "must be 2 to 63 lower-case letters, digits and hyphens, beginning with a letter";
    public const string VersionRule =
        "must be a semantic version such as 1.0.0 or 2.0.0-beta.1, of at most 64 characters and without build metadata (+…), which takes no part in precedence";

    public static bool IsName(string value) => NamePattern().IsMatch(value);

    public static bool IsVersion(string value) => value.Length <= MaxVersionLength && VersionPattern().IsMatch(value);

    [GeneratedRegex(@"^[a-z][a-z0-9-]{1,62}\z", RegexOptions.ExplicitCapture | RegexOptions.NonBacktracking)]
    private static partial Regex NamePattern();

    // Numbers have at most nine digits so that they fit into 32 bits everywhere.
    [GeneratedRegex(
        @"^(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})" +
        @"(-(0|[1-9][0-9]{0,8}|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9][0-9]{0,8}|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*))*)?\z",
        RegexOptions.ExplicitCapture | RegexOptions.NonBacktracking)]
    private static partial Regex VersionPattern();
}

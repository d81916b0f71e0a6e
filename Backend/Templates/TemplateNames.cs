using System.Text.RegularExpressions;

namespace Platform.Backend.Templates;

/// <summary>The syntax of names and versions of templates. Anything else is refused before it becomes part of a request to the registry.</summary>
internal static partial class TemplateNames
{
    public static bool IsName(string name) => Name().IsMatch(name);

    public static bool IsVersion(string version) => version.Length <= 128 && Version().IsMatch(version);

    [GeneratedRegex(@"^[a-z][a-z0-9-]{1,62}\z", RegexOptions.NonBacktracking)]
    private static partial Regex Name();

    [GeneratedRegex(@"^[0-9]+\.[0-9]+\.[0-9]+(?:[-+][0-9A-Za-z.+-]+)?\z", RegexOptions.NonBacktracking)]
    private static partial Regex Version();
}

using Platform.Backend.Shops;
using Platform.ServiceDefaults.Problems;

namespace Platform.Backend.Owners;

/// <summary>Rules for the names of owners and keys.</summary>
internal static class OwnerRules
{
    private const int MaxName = 100;

    public static void CheckName(ValidationErrors errors, string field, string name)
    {
        if (name.Trim().Length is 0 or > MaxName)
            errors.Add(field, $"must have 1 to {MaxName} characters");
        else if (FieldRules.RefuseCharacters(name, multiline: false) is { } rule)
            errors.Add(field, rule);
    }

    /// <summary>Makes a name from the identity provider valid: removes control characters and truncates it.</summary>
    public static string Shorten(string name) =>
        new string([.. name.Where(character => !char.IsControl(character))]).Trim() switch
        {
            "" => "unnamed",
            { Length: > MaxName } longer => longer[..MaxName],
            var fits => fits,
        };
}

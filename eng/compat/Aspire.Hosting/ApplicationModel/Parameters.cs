using System.Security.Cryptography;

namespace Aspire.Hosting.ApplicationModel;

/// <summary>A value that the application's model needs from outside: <c>Parameters:name</c> of the configuration, or a default.</summary>
public class ParameterResource : Resource, IManifestExpressionProvider, IValueProvider
{
    private readonly Lazy<string> _value;

    public ParameterResource(string name, Func<ParameterDefault?, string> callback, bool secret = false)
        : base(name)
    {
        ArgumentNullException.ThrowIfNull(callback);
        _value = new Lazy<string>(() => callback(Default));
        Secret = secret;
    }

    [Obsolete("Use GetValueAsync instead.")]
    public string Value => _value.Value;

    public ParameterDefault? Default { get; set; }

    public bool Secret { get; }

    public bool IsConnectionString { get; set; }

    public string ValueExpression => IsConnectionString ? $"{{{Name}.connectionString}}" : $"{{{Name}.value}}";

    public string? Description { get; set; }

    public bool EnableDescriptionMarkdown { get; set; }

    internal string ConfigurationKey => IsConnectionString ? $"ConnectionStrings:{Name}" : $"Parameters:{Name}";

    /// <exception cref="MissingParameterValueException">Neither configuration nor a default gives a value.</exception>
    public ValueTask<string?> GetValueAsync(CancellationToken cancellationToken) => new(_value.Value);
}

internal sealed class ConnectionStringParameterResource : ParameterResource, IResourceWithConnectionString, IResourceWithoutLifetime
{
    public ConnectionStringParameterResource(string name, Func<ParameterDefault?, string> callback, string? environmentVariableName)
        : base(name, callback, secret: true)
    {
        IsConnectionString = true;
        ConnectionStringEnvironmentVariable = environmentVariableName;
    }

    public string? ConnectionStringEnvironmentVariable { get; }

    public ReferenceExpression ConnectionStringExpression => ReferenceExpression.Create($"{(ParameterResource)this}");

    string IManifestExpressionProvider.ValueExpression => ValueExpression;

    ValueTask<string?> IResourceWithConnectionString.GetConnectionStringAsync(CancellationToken cancellationToken) => GetValueAsync(cancellationToken);

    ValueTask<string?> IValueProvider.GetValueAsync(CancellationToken cancellationToken) => GetValueAsync(cancellationToken);
}

public abstract class ParameterDefault
{
    public abstract string GetDefaultValue();
}

internal sealed class ConstantParameterDefault(Func<string> value) : ParameterDefault
{
    public override string GetDefaultValue() => value();
}

/// <summary>A random value.</summary>
public sealed class GenerateParameterDefault : ParameterDefault
{
    /// <summary>22 gives 128 bits of entropy with the default set of characters.</summary>
    public int MinLength { get; set; }

    public bool Lower { get; set; } = true;

    public bool Upper { get; set; } = true;

    public bool Numeric { get; set; } = true;

    public bool Special { get; set; } = true;

    public int MinLower { get; set; }

    public int MinUpper { get; set; }

    public int MinNumeric { get; set; }

    public int MinSpecial { get; set; }

    // The characters are those of the real package: none that is easily mistaken for another, none that a connection string or shell would need to escape.
    public override string GetDefaultValue()
    {
        var sets = new[]
        {
            (Enabled: Lower, Min: MinLower, Characters: "abcdefghjkmnpqrstuvwxyz"),
            (Enabled: Upper, Min: MinUpper, Characters: "ABCDEFGHJKMNPQRSTUVWXYZ"),
            (Enabled: Numeric, Min: MinNumeric, Characters: "0123456789"),
            (Enabled: Special, Min: MinSpecial, Characters: "-_.{}~()*+!"),
        };
        foreach (var (enabled, min, characters) in sets)
        {
            ArgumentOutOfRangeException.ThrowIfNegative(min);
            if (!enabled && min > 0)
                throw new ArgumentException($"At least {min} characters of '{characters}' are asked for, and none allowed.");
        }

        var all = string.Concat(sets.Where(s => s.Enabled).Select(s => s.Characters));
        if (all.Length == 0)
            throw new ArgumentException("At least one kind of character must be enabled.");
        var required = sets.Sum(s => s.Min);
        var value = new List<char>(Math.Max(MinLength, required));
        foreach (var (_, min, characters) in sets)
            value.AddRange(RandomNumberGenerator.GetItems<char>(characters, min));
        value.AddRange(RandomNumberGenerator.GetItems<char>(all, Math.Max(0, MinLength - required)));
        var shuffled = value.ToArray();
        RandomNumberGenerator.Shuffle<char>(shuffled);
        return new string(shuffled);
    }
}

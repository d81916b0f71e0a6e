using System.Text.Json;
using System.Text.Json.Nodes;
using Aspire.Hosting.ApplicationModel;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Configuration.UserSecrets;

namespace Aspire.Hosting;

public static class ParameterResourceBuilderExtensions
{
    public static IResourceBuilder<ParameterResource> AddParameter(this IDistributedApplicationBuilder builder, string name, bool secret = false) =>
        builder.Add(name, secret, null);

    public static IResourceBuilder<ParameterResource> AddParameter(
        this IDistributedApplicationBuilder builder, string name, string value, bool publishValueAsDefault = false, bool secret = false) =>
        builder.AddParameter(name, () => value, publishValueAsDefault, secret);

    public static IResourceBuilder<ParameterResource> AddParameter(
        this IDistributedApplicationBuilder builder, string name, Func<string> valueGetter, bool publishValueAsDefault = false, bool secret = false)
    {
        ArgumentNullException.ThrowIfNull(valueGetter);
        if (publishValueAsDefault && secret)
            throw new ArgumentException("A parameter cannot be both secret and published as a default value.", nameof(secret));
        return builder.Add(name, secret, publishValueAsDefault ? new ConstantParameterDefault(valueGetter) : null, _ => valueGetter());
    }

    /// <param name="persist">Keep a generated value in the AppHost's user secrets, so that the next run has it too.</param>
    public static IResourceBuilder<ParameterResource> AddParameter(
        this IDistributedApplicationBuilder builder, string name, ParameterDefault value, bool secret = false, bool persist = false)
    {
        ArgumentNullException.ThrowIfNull(value);
        return builder.Add(name, secret, persist && builder.ExecutionContext.IsRunMode ? new PersistedDefault(builder, name, value) : value);
    }

    public static IResourceBuilder<IResourceWithConnectionString> AddConnectionString(this IDistributedApplicationBuilder builder, string name, string? environmentVariableName = null)
    {
        var configuration = builder.Configuration;
        return builder.AddResource(new ConnectionStringParameterResource(
            name,
            _ => configuration.GetConnectionString(name)
                ?? throw new MissingParameterValueException($"Connection string parameter resource could not be used because connection string '{name}' is missing."),
            environmentVariableName));
    }

    public static ParameterResource CreateDefaultPasswordParameter(
        IDistributedApplicationBuilder builder,
        string name,
        bool lower = true,
        bool upper = true,
        bool numeric = true,
        bool special = true,
        int minLower = 0,
        int minUpper = 0,
        int minNumeric = 0,
        int minSpecial = 0)
    {
        var generated = new GenerateParameterDefault
        {
            MinLength = 22,
            Lower = lower,
            Upper = upper,
            Numeric = numeric,
            Special = special,
            MinLower = minLower,
            MinUpper = minUpper,
            MinNumeric = minNumeric,
            MinSpecial = minSpecial,
        };
        return Create(builder, name, secret: true, builder.ExecutionContext.IsRunMode ? new PersistedDefault(builder, name, generated) : generated);
    }

    private static IResourceBuilder<ParameterResource> Add(
        this IDistributedApplicationBuilder builder, string name, bool secret, ParameterDefault? value, Func<ParameterDefault?, string>? get = null) =>
        builder.AddResource(Create(builder, name, secret, value, get));

    private static ParameterResource Create(IDistributedApplicationBuilder builder, string name, bool secret, ParameterDefault? value, Func<ParameterDefault?, string>? get = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentNullException.ThrowIfNull(name);
        var configuration = builder.Configuration;
        return new ParameterResource(
            name,
            get ?? (d => configuration[$"Parameters:{name}"]
                ?? d?.GetDefaultValue()
                ?? throw new MissingParameterValueException($"Parameter resource could not be used because configuration key 'Parameters:{name}' is missing and the Parameter has no default value.")),
            secret)
        {
            Default = value,
        };
    }

    /// <summary>A default that is made once and then found in the user secrets of the AppHost's project.</summary>
    private sealed class PersistedDefault(IDistributedApplicationBuilder builder, string name, ParameterDefault inner) : ParameterDefault
    {
        private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };
        private static readonly Lock FileLock = new();

        public override string GetDefaultValue()
        {
            var value = inner.GetDefaultValue();
            if (builder.AppHostAssembly?.GetCustomAttributes(typeof(UserSecretsIdAttribute), false).OfType<UserSecretsIdAttribute>().FirstOrDefault()?.UserSecretsId is { } id)
                Save(PathHelper.GetSecretsPathFromSecretsId(id), $"Parameters:{name}", value);
            builder.Configuration[$"Parameters:{name}"] = value;
            return value;
        }

        private static void Save(string path, string key, string value)
        {
            lock (FileLock)
            {
                Directory.CreateDirectory(Path.GetDirectoryName(path)!);
                var secrets = File.Exists(path) && JsonNode.Parse(File.ReadAllText(path)) is JsonObject existing ? existing : [];
                secrets[key] = value;
                var temporary = path + ".new";
                var options = new FileStreamOptions { Mode = FileMode.Create, Access = FileAccess.Write };
                if (!OperatingSystem.IsWindows())
                    options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
                using (var file = new FileStream(temporary, options))
                    JsonSerializer.Serialize(file, secrets, Indented);
                File.Move(temporary, path, overwrite: true);
            }
        }
    }
}

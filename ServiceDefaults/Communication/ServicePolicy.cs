using System.ComponentModel.DataAnnotations;
using System.Globalization;
using System.Reflection;
using Microsoft.Extensions.Primitives;

namespace Platform.ServiceDefaults.Communication;

/// <summary>
/// The current policy of one dependency. Follows configuration reloads. An invalid reload is logged and ignored, because a typo must not change the behaviour of a running
/// service.
/// </summary>
internal sealed partial class ServicePolicy : IDisposable
{
    private readonly IConfigurationSection _section;
    private readonly ILogger _logger;
    private readonly IDisposable _reloads;
    private volatile ServiceClientOptions _current;

    /// <exception cref="OptionsValidationException">A key is unknown or a value out of range. Each failure names key, value and range.</exception>
    public ServicePolicy(string name, IConfiguration configuration, ILogger logger)
    {
        Name = name;
        _section = configuration.GetSection($"Services:{name}");
        _logger = logger;
        var failures = Read(out var first);
        _current = first;
        if (failures.Count > 0)
        {
            throw new OptionsValidationException(name, typeof(ServiceClientOptions), failures);
        }

        _reloads = ChangeToken.OnChange(configuration.GetReloadToken, Reload);
    }

    public string Name { get; }

    public ServiceClientOptions Current => _current;

    public void Dispose() => _reloads.Dispose();

    private void Reload()
    {
        var failures = Read(out var next);
        if (failures.Count > 0)
        {
            LogInvalidReload(_logger, Name, string.Join(" ", failures));
            return;
        }

        _current = next;
    }

    private List<string> Read(out ServiceClientOptions options)
    {
        options = new();
        var failures = new List<string>();
        Read(_section, options, failures);
        if (failures.Count > 0)
        {
            return failures;
        }

        if (options.AttemptTimeout > options.ReadTimeout || options.AttemptTimeout > options.WriteTimeout)
        {
            failures.Add($"{_section.Path}:AttemptTimeout is {options.AttemptTimeout:c}; it must not be longer than ReadTimeout ({options.ReadTimeout:c}) and WriteTimeout ({options.WriteTimeout:c}).");
        }

        if (options.Retry.Delay > options.Retry.MaxDelay)
        {
            failures.Add($"{_section.Path}:Retry:Delay is {options.Retry.Delay:c}; it must not be longer than Retry:MaxDelay ({options.Retry.MaxDelay:c}).");
        }

        return failures;
    }

    // The framework's binder stops at the first invalid value and doesn't name the valid range.
    private static void Read(IConfigurationSection section, object options, List<string> failures)
    {
        var properties = options.GetType().GetProperties();
        foreach (var child in section.GetChildren())
        {
            var property = Array.Find(properties, p => string.Equals(p.Name, child.Key, StringComparison.OrdinalIgnoreCase));
            if (property is null && IsEndpoint(child))
            {
                continue;
            }

            if (property is null)
            {
                failures.Add($"{child.Path} is not a setting; the settings are {string.Join(", ", properties.Select(p => p.Name))}.");
            }
            else if (property.PropertyType.IsClass)
            {
                Read(child, property.GetValue(options)!, failures);
            }
            else if (!TryParse(child.Value, property.PropertyType, out var value) || property.GetCustomAttribute<RangeAttribute>() is { } range && !range.IsValid(value))
            {
                failures.Add($"{child.Path} is \"{child.Value}\"; it must be {Describe(property)}.");
            }
            else
            {
                property.SetValue(options, value);
            }
        }
    }

    // Keys are case-insensitive, so service discovery's services:<name>:<endpoint>:<n> are in this section too.
    private static bool IsEndpoint(IConfigurationSection child) =>
        Uri.IsWellFormedUriString(child.Value, UriKind.Absolute) || child.GetChildren().Any() && child.GetChildren().All(entry => int.TryParse(entry.Key, NumberStyles.None, CultureInfo.InvariantCulture, out _));

    private static bool TryParse(string? text, Type type, out object? value)
    {
        object? parsed = type switch
        {
            _ when type == typeof(int) => int.TryParse(text, NumberStyles.Integer, CultureInfo.InvariantCulture, out var number) ? number : null,
            _ when type == typeof(double) => double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var number) && double.IsFinite(number) ? number : null,
            _ when type == typeof(bool) => bool.TryParse(text, out var flag) ? flag : null,
            _ => TimeSpan.TryParse(text, CultureInfo.InvariantCulture, out var time) ? time : null,
        };
        value = parsed;
        return parsed is not null;
    }

    private static string Describe(PropertyInfo property) => property.GetCustomAttribute<RangeAttribute>() is { } range
        ? string.Create(CultureInfo.InvariantCulture, $"{(property.PropertyType == typeof(TimeSpan) ? "a time span" : "a number")} between {range.Minimum} and {range.Maximum}")
        : "true or false";

    [LoggerMessage(LogLevel.Error, "event=resilience Ignored an invalid policy for {Destination}, the previous one stays in effect: {Failures}")]
    private static partial void LogInvalidReload(ILogger logger, string destination, string failures);
}

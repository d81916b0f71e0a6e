using System.Buffers;
using System.Collections.Concurrent;
using System.Reflection;
using System.Text.Json;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Http.Json;
using Microsoft.AspNetCore.Http.Metadata;

namespace Platform.ServiceDefaults.Problems;

/// <summary>
/// Checks route values, query and JSON body against what the endpoint's handler takes, before it is bound, and names every bad field in one
/// 400 problem. Binding itself stops at the first.
/// </summary>
internal sealed class RequestChecks(RequestDelegate next, IOptions<JsonOptions> json)
{
    private static readonly ConcurrentDictionary<Type, Func<string, bool>?> Parsers = new();

    private readonly JsonBodyCheck _body = new(json.Value.SerializerOptions);

    public async Task InvokeAsync(HttpContext context)
    {
        if (context.GetEndpoint() is not RouteEndpoint endpoint)
        {
            await next(context);
            return;
        }

        var errors = new ValidationErrors();
        CheckParameters(context, endpoint, errors);
        if (endpoint.Metadata.GetMetadata<IAcceptsMetadata>() is { RequestType: { } type } accepts && type != typeof(IFormCollection) && context.Request.HasJsonContentType())
        {
            await CheckBodyAsync(context, type, accepts.IsOptional, errors);
        }

        if (errors.Any)
        {
            await errors.ToResult().ExecuteAsync(context);
            return;
        }

        await next(context);
    }

    private static void CheckParameters(HttpContext context, RouteEndpoint endpoint, ValidationErrors errors)
    {
        foreach (var (name, value) in context.Request.RouteValues)
        {
            if (value is string text && text.Contains('\0'))
            {
                errors.Add(name, Rules.NoNul);
            }
        }

        foreach (var (name, values) in context.Request.Query)
        {
            if (values.Any(value => value?.Contains('\0') == true))
            {
                errors.Add(name.Replace("\0", "\\0", StringComparison.Ordinal), Rules.NoNul);
            }
        }

        foreach (var parameter in endpoint.Metadata.GetOrderedMetadata<IParameterBindingMetadata>())
        {
            // an explicit [FromQuery] names the value, and then HasTryParse is not told
            var query = parameter.ParameterInfo.GetCustomAttributes().OfType<IFromQueryMetadata>().FirstOrDefault();
            if ((query is null && !parameter.HasTryParse) || parameter.ParameterInfo.GetCustomAttributes().OfType<IFromHeaderMetadata>().Any())
            {
                continue;
            }

            var name = query?.Name ?? parameter.Name;
            var given = query is null && context.Request.RouteValues.TryGetValue(name, out var route) ? route as string : (string?)context.Request.Query[name];
            if (string.IsNullOrEmpty(given))
            {
                if (!parameter.IsOptional && parameter.ParameterInfo.ParameterType != typeof(string))
                {
                    errors.Add(name, Rules.Required);
                }

                continue;
            }

            var type = Nullable.GetUnderlyingType(parameter.ParameterInfo.ParameterType) ?? parameter.ParameterInfo.ParameterType;
            if (Parsers.GetOrAdd(type, ParserOf) is { } parses && !parses(given))
            {
                errors.Add(name, Rules.MustBe(type));
            }
        }
    }

    private async Task CheckBodyAsync(HttpContext context, Type type, bool isOptional, ValidationErrors errors)
    {
        var request = context.Request;
        // one copy, checked here and then read again by the binding
        using var body = new MemoryStream(request.ContentLength is { } length and <= 64 * 1024 ? (int)length : 0);
        await request.Body.CopyToAsync(body, context.RequestAborted);
        if (body.Length > 0)
        {
            _body.Check(body.GetBuffer().AsMemory(0, (int)body.Length), type, errors);
        }
        else if (!isOptional)
        {
            errors.Add(Rules.Body, Rules.Required);
        }

        body.Position = 0;
        var copy = body.ToArray();
        request.Body = new MemoryStream(copy, writable: false);
        if (request.ContentLength is null)
        {
            request.ContentLength = copy.Length;
        }
    }

    private static Func<string, bool>? ParserOf(Type type)
    {
        if (type == typeof(string))
        {
            return null;
        }

        if (type.IsEnum)
        {
            return value => Enum.TryParse(type, value, ignoreCase: true, out _);
        }

        return type.GetInterfaces().Any(contract => contract.IsGenericType && contract.GetGenericTypeDefinition() == typeof(IParsable<>))
            ? typeof(RequestChecks).GetMethod(nameof(Parses), BindingFlags.NonPublic | BindingFlags.Static)!.MakeGenericMethod(type).CreateDelegate<Func<string, bool>>()
            : null;
    }

    private static bool Parses<T>(string value) where T : IParsable<T> => T.TryParse(value, System.Globalization.CultureInfo.InvariantCulture, out _);
}

/// <summary>The wording of the rules that every service shares.</summary>
internal static class Rules
{
    public const string Body = "body";
    public const string Required = "is required";
    public const string Unknown = "is not a known field";
    public const string Repeated = "is given more than once";
    public const string NotNull = "must not be null";
    public const string NoNul = "must not contain the NUL character";

    public static string MustBe(Type type)
    {
        type = Nullable.GetUnderlyingType(type) ?? type;
        return type == typeof(string) ? "must be a string"
            : type == typeof(bool) ? "must be true or false"
            : type == typeof(Guid) ? "must be a UUID"
            : type == typeof(DateTimeOffset) || type == typeof(DateTime) ? "must be an ISO 8601 date and time"
            : type == typeof(DateOnly) ? "must be an ISO 8601 date"
            : type == typeof(Uri) ? "must be a URI"
            : type.IsEnum ? $"must be one of {string.Join(", ", Enum.GetNames(type).Select(JsonNamingPolicy.CamelCase.ConvertName))}"
            : type == typeof(int) || type == typeof(long) || type == typeof(short) || type == typeof(byte) || type == typeof(uint) || type == typeof(ulong) ? "must be a whole number in range"
            : type == typeof(decimal) || type == typeof(double) || type == typeof(float) ? "must be a number"
            : "is not valid";
    }
}

using System.Reflection;
using System.Runtime.CompilerServices;
using System.Text.Json;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Http.Json;
using Microsoft.AspNetCore.Http.Metadata;

namespace Platform.ServiceDefaults.Problems;

/// <summary>
/// Validates route values, query and JSON body against the endpoint's parameters, and reports every invalid field in one 400 problem. Binding itself stops at the first.
/// </summary>
internal sealed class RequestChecks(RequestDelegate next, IOptions<JsonOptions> json)
{
    private static readonly ConditionalWeakTable<Endpoint, CheckedParameter[]> Parameters = [];

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
        if (endpoint.Metadata.GetMetadata<IAcceptsMetadata>() is { RequestType: { } type } accepts
            && accepts.ContentTypes.Any(contentType => contentType.Contains("json", StringComparison.OrdinalIgnoreCase))
            && context.Request.HasJsonContentType())
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

        foreach (var parameter in Parameters.GetValue(endpoint, ParametersOf))
        {
            var given = parameter.IsQuery || !context.Request.RouteValues.TryGetValue(parameter.Name, out var route)
                ? (string?)context.Request.Query[parameter.Name]
                : route as string;
            if (string.IsNullOrEmpty(given))
            {
                if (parameter.IsRequired)
                {
                    errors.Add(parameter.Name, Rules.Required);
                }
            }
            else if (!parameter.Parses(given))
            {
                errors.Add(parameter.Name, Rules.MustBe(parameter.Type));
            }
        }
    }

    private static CheckedParameter[] ParametersOf(Endpoint endpoint)
    {
        var parameters = new List<CheckedParameter>();
        foreach (var binding in endpoint.Metadata.GetOrderedMetadata<IParameterBindingMetadata>())
        {
            var attributes = binding.ParameterInfo.GetCustomAttributes().ToArray();
            // HasTryParse isn't set for parameters with an explicit [FromQuery].
            var query = attributes.OfType<IFromQueryMetadata>().FirstOrDefault();
            var type = Nullable.GetUnderlyingType(binding.ParameterInfo.ParameterType) ?? binding.ParameterInfo.ParameterType;
            if ((query is not null || binding.HasTryParse) && !attributes.OfType<IFromHeaderMetadata>().Any() && ParserOf(type) is { } parses)
            {
                parameters.Add(new(query?.Name ?? binding.Name, type, query is not null, !binding.IsOptional, parses));
            }
        }

        return [.. parameters];
    }

    private async Task CheckBodyAsync(HttpContext context, Type type, bool isOptional, ValidationErrors errors)
    {
        var request = context.Request;
        // Buffered once: validated here, then read again by model binding.
        var body = new MemoryStream(request.ContentLength is { } length and <= 64 * 1024 ? (int)length : 0);
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
        request.Body = body;
        request.ContentLength ??= body.Length;
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

    private sealed record CheckedParameter(string Name, Type Type, bool IsQuery, bool IsRequired, Func<string, bool> Parses);
}

/// <summary>Wording of the validation rules that all services share.</summary>
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

using Platform.Backend.Database;
using Platform.ServiceDefaults.Communication;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.Backend.Templates;

/// <summary>Reports to the registry how many shops use each template. Best effort: each report contains the totals, so a lost one is made up for by the next.</summary>
internal sealed partial class ReportTemplateUsage(TemplateRegistryClient registry, PostgresDatabase database, Fallbacks fallbacks, ILogger<ReportTemplateUsage> logger)
{
    public static readonly Fallback Fallback = new("template-registry", "usage statistics", FallbackKind.BestEffort);

    public async Task ExecuteAsync(CancellationToken cancellationToken)
    {
        try
        {
            var counts = await database.ListAsync(
                "select template_name, count(*)::int from shops group by template_name", [], row => (Template: row.GetString(0), Shops: row.GetInt32(1)), cancellationToken);
            foreach (var (template, shops) in counts)
                await registry.ReportUsageAsync(template, shops, cancellationToken);
        }
        catch (Exception exception) when (DatabaseProblems.IsUnavailable(exception) || exception is HttpRequestException)
        {
            fallbacks.Use(Fallback);
            LogNotReported(logger, exception.Message);
        }
    }

    [LoggerMessage(LogLevel.Information, "event=resilience Could not report the use of templates to the registry: {Reason}")]
    private static partial void LogNotReported(ILogger logger, string reason);
}
